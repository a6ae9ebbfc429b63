# SPDX-License-Identifier: Apache-2.0
"""The record sink: one JSON line an op, everything that any guest could be told."""

import json
import os
import signal
import subprocess

from harness import SLOWNESS, Monitor, case, expect, expect_equal, inside, main, now_usec, run, wait


class Record:
    """A monitor whose record goes to a file."""

    def __init__(self, s, *options):
        self.s, self.path = s, s.path("record")
        self.file = open(self.path, "wb")
        self.monitor = s.start("--sink", "record", *options, stdout=self.file)

    def lines(self):
        with open(self.path, "rb") as file:
            data = file.read()
        return [json.loads(line) for line in data[:data.rfind(b"\n") + 1].splitlines()]

    def ops(self):
        return [op_of(line) for line in self.lines()]

    def take(self, count, what):
        """Waits for this many ops in all, and gives the last of them."""
        wait(lambda: len(self.lines()) >= count, what)
        return self.lines()[count - 1]


NO_LINK = {"link": {"name": "", "mac": "", "mtu": 0}, "addresses": []}


def link_of(value):
    link = value["link"]
    return link["name"], link["mac"], link["mtu"], sorted(a["ip"] for a in value["addresses"])


def op_of(line):
    """(op, what) in short."""
    if "link" in line:
        return line["op"], line["link"]["name"], sorted(a["ip"] for a in line["addresses"])
    if "route" in line:
        return line["op"], line["route"]["dst"], line["route"].get("via", "")
    if "neighbour" in line:
        return line["op"], line["neighbour"]["ip"], line["neighbour"]["mac"]
    return line["op"], json.dumps(line["from"]), json.dumps(line["to"])


def wait_ops(record, wanted, what="ops"):
    try:
        wait(lambda: len(record.ops()) >= len(wanted), what)
    except Exception:
        pass
    expect_equal(record.ops(), wanted, what)


@case
def record_line_by_line(s):
    mac = s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    s.pod_ip("route add default via 172.17.0.1")
    r = Record(s)
    ops = [("add-link", "eth0", ["172.17.0.2/16"]), ("add-route", "0.0.0.0/0", "172.17.0.1")]
    wait_ops(r, ops, "nothing is known at the start: all is told")
    line = r.lines()[0]
    expect_equal((line["sandbox"], line["number"], line["link"]["mac"], line["link"]["kind"]), (s.id, 1, mac, "veth"), "first line")

    s.pod_ip("route add 10.9.0.0/16 via 172.17.0.1 mtu 1300")
    ops.append(("add-route", "10.9.0.0/16", "172.17.0.1"))
    wait_ops(r, ops)
    expect_equal(r.lines()[-1]["route"]["mtu"], 1300, "MTU of a route")
    s.pod_ip("route add default via fe80::1 dev eth0")
    ops.append(("add-route", "::/0", "fe80::1"))
    wait_ops(r, ops, "a default route says its family")

    s.pod_ip("addr add 172.17.0.3/16 dev eth0")
    line = r.take(len(ops) + 1, "a new address")
    expect_equal((line["op"], link_of(line["from"])[3], link_of(line["to"])[3]),
                 ("update-link", ["172.17.0.2/16"], ["172.17.0.2/16", "172.17.0.3/16"]), "update")
    s.pod_ip("link set eth0 mtu 1400")
    line = r.take(len(ops) + 2, "a new MTU")
    expect_equal((line["op"], link_of(line["from"])[2], link_of(line["to"])[2]), ("update-link", 1500, 1400), "update")

    s.pod_ip("route replace 10.9.0.0/16 via 172.17.0.9")
    line = r.take(len(ops) + 3, "another gateway")
    expect_equal((line["op"], line["from"]["via"], line["to"]["via"]), ("replace-route", "172.17.0.1", "172.17.0.9"), "replace")
    s.pod_ip("route del 10.9.0.0/16")
    expect_equal(op_of(r.take(len(ops) + 4, "a route less")), ("del-route", "10.9.0.0/16", "172.17.0.9"), "withdrawn")

    s.pod_ip("neigh add 172.17.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent")
    expect_equal(op_of(r.take(len(ops) + 5, "a permanent neighbour")), ("add-neighbour", "172.17.0.77", "02:00:00:00:00:77"), "neighbour")
    s.pod_ip("neigh add 172.17.0.1 lladdr 02:00:00:00:00:01 dev eth0 nud reachable",
             "neigh add 172.17.0.99 lladdr 02:00:00:00:00:99 dev eth0 nud reachable")
    expect_equal(op_of(r.take(len(ops) + 6, "the gateway's")), ("add-neighbour", "172.17.0.1", "02:00:00:00:00:01"), "neighbour")
    s.pod_ip("neigh change 172.17.0.77 lladdr 02:00:00:00:00:78 dev eth0 nud permanent")
    expect_equal(op_of(r.take(len(ops) + 7, "another MAC")), ("add-neighbour", "172.17.0.77", "02:00:00:00:00:78"), "neighbour")
    s.pod_ip("neigh del 172.17.0.77 dev eth0")
    expect_equal(op_of(r.take(len(ops) + 8, "withdrawn"))[:2], ("del-neighbour", "172.17.0.77"), "neighbour")
    s.quiet("a neighbour that is no gateway", 0.4)
    expect_equal(len(r.lines()), len(ops) + 8, "lines")

    s.pod_ip("link del eth0")
    wait(lambda: r.ops()[-1][0] == "del-link" or "del-link" in [op[0] for op in r.ops()], "the end")
    expect_equal([line["number"] for line in r.lines()], list(range(1, len(r.lines()) + 1)), "numbers")
    times = [line["time_usec"] for line in r.lines()]
    expect_equal(times, sorted(times), "times")


@case
def record_renames_and_macs_are_updates(s):
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    r = Record(s)
    r.take(1, "the link")
    s.pod_ip("link set eth0 address 02:00:00:00:99:99")
    wait(lambda: link_of(r.lines()[-1].get("to", NO_LINK))[1] == "02:00:00:00:99:99", "a new MAC")
    s.pod_ip("link set eth0 down", "link set eth0 name net0", "link set net0 up")
    wait(lambda: link_of(r.lines()[-1].get("to", NO_LINK))[0] == "net0", "a new name")
    expect_equal({line["op"] for line in r.lines()[1:]}, {"update-link"}, "ops: none of it is an end")


@case
def record_of_a_slow_link_waits_for_nothing(s):
    """It can be updated, so it does not settle."""
    r = Record(s)
    before = now_usec()
    s.veth("eth1")
    r.take(1, "the link without its address")
    expect(now_usec() - before < 300_000 * SLOWNESS, "it waited")
    s.pod_ip("addr add 10.1.0.2/24 dev eth1")
    expect_equal(r.take(2, "its address")["op"], "update-link", "op")


@case
def record_order_of_routes(s):
    """An on-link route comes before what it carries."""
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    s.pod_ip("route add 10.200.0.0/24 dev eth0", "route add 10.9.0.0/16 via 10.200.0.1", "route add 10.8.0.0/16 via 10.200.0.1")
    r = Record(s)
    r.take(4, "all of it")
    expect_equal(r.ops()[1][1], "10.200.0.0/24", "the first route")


@case
def record_fails_when_told(s):
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    s.pod_ip("route add default via 172.17.0.1")
    r = Record(s, "--record-fail", "1")
    wait_ops(r, [("add-link", "eth0", ["172.17.0.2/16"]), ("add-route", "0.0.0.0/0", "172.17.0.1")], "told again")
    expect_equal([line["number"] for line in r.lines()], [2, 3], "numbers: the first was not written")
    records = s.audit(op="add-link")
    expect_equal([(a["result"], a["attempt"]) for a in records], [("retry", "1"), ("done", "2")], "audit")


@case
def record_with_a_slow_reader(s):
    """It delays ops, not the reading of the kernel, nor a signal; and every line arrives whole."""
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    read_end, write_end = os.pipe()
    m = s.start("--sink", "record", stdout=write_end)
    os.close(write_end)
    s.pod_ip(*(f"route add 10.{100 + n // 200}.{n % 200}.0/24 via 172.17.0.1" for n in range(2000)))
    wait(lambda: s.audit(op="add-route"), "it has begun")
    s.pod_ip(*(f"route del 10.{100 + n // 200}.{n % 200}.0/24 via 172.17.0.1" for n in range(1000, 2000)))
    m.process.send_signal(signal.SIGUSR1)
    wait(lambda: "plan" in m.stderr(), "a report while the reader sleeps", 3)
    seen = {}
    data = b""
    while len([1 for is_there in seen.values() if is_there]) != 1000 or not s.audit(op="add-route"):
        data += os.read(read_end, 65536)
        *lines, data = data.split(b"\n")
        for line in map(json.loads, lines):
            if "route" in line:
                seen[line["route"]["dst"]] = line["op"] == "add-route"
    os.set_blocking(read_end, False)
    expect_equal(m.term()[0], 0, "exit status")
    os.close(read_end)


@case
def record_ends_while_the_reader_sleeps(s):
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    read_end, write_end = os.pipe()
    m = s.start("--sink", "record", stdout=write_end)
    os.close(write_end)
    s.pod_ip(*(f"route add 10.{100 + n // 200}.{n % 200}.0/24 via 172.17.0.1" for n in range(2000)))
    wait(lambda: s.audit(op="add-route"), "it has begun")
    status, msec = m.term()
    expect_equal(status, 0, "exit status")
    expect(SLOWNESS > 1 or msec < 100, f"SIGTERM took {msec} ms")
    os.close(read_end)


@case
def record_outlives_its_reader(s):
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    read_end, write_end = os.pipe()
    m = s.start("--sink", "record", stdout=write_end)
    os.close(write_end)
    os.close(read_end)
    s.pod_ip("route add 10.9.0.0/16 via 172.17.0.1")
    s.wait_audit("Broken pipe", result="retry")
    expect(m.is_alive(), "it ended")


@case
def record_beside_the_real_monitor(s):
    """A dry run shares neither lock nor state with it."""
    s.eth0()
    real = s.start_told()
    r = Record(s)
    r.take(1, "the dry run")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24"])])
    wait(lambda: "eth1" in str(r.ops()), "and the dry run says so too")
    expect(real.is_alive() and r.monitor.is_alive(), "one ended the other")


@case
def record_state_is_taken_up(s):
    """Killed and started again: what was told is not told again."""
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    s.pod_ip("route add default via 172.17.0.1")
    r = Record(s)
    r.take(2, "all of it")
    wait(lambda: len(s.audit(result="done", kind="op")) == 2, "and it is known")
    r.monitor.kill()
    s.pod_ip("route add 10.9.0.0/16 via 172.17.0.1", "addr add 172.17.0.3/16 dev eth0")
    again = Record(s)
    again.take(2, "what changed")
    s.quiet("no more", 0.4)
    expect_equal([op[0] for op in again.ops()], ["update-link", "add-route"], "ops")


@case
def once_is_one_snapshot(s):
    s.eth0()
    s.pod_ip("route add 10.9.0.0/16 via 172.17.0.1", "link add br0 type bridge", "route add blackhole 10.66.0.0/16",
             "addr add 2001:db8::2/64 dev eth0 nodad")
    with inside(s.pod):
        result = subprocess.run(s.argv("--once"), capture_output=True, text=True, env=s.environment(), timeout=30)
    expect_equal((result.returncode, result.stderr), (0, ""), "exit status and stderr")
    value = json.loads(result.stdout)
    links = value["network"]["links"]
    expect_equal(value["sandbox"], s.id, "sandbox")
    expect_equal([(link["name"], sorted(a["ip"] for a in link["addresses"])) for link in links],
                 [("eth0", ["172.17.0.2/16", "2001:db8::2/64"])], "links")
    expect_equal(sorted(route["dst"] for route in value["network"]["routes"]), ["0.0.0.0/0", "10.9.0.0/16"], "routes")
    expect(value["drift"] >= 1 and "10.66.0.0/16" in str(value["cannot_be_told"]), "drift")
    expect(not os.path.exists(s.state_path()), "it left state behind")
    outside = json.loads(run(*s.argv("--once", "--netns", f"/run/netns/{s.pod}")))
    expect_equal(outside["network"], value["network"], "the same from outside")
    expect_equal(s.calls(), [], "calls")


@case
def once_beside_a_monitor(s):
    s.eth0()
    m = s.start_told()
    value = json.loads(run(*s.argv("--once", "--netns", f"/run/netns/{s.pod}")))
    expect_equal(len(value["network"]["links"]), 1, "links")
    expect(m.is_alive(), "the monitor was ended")


@case
def record_on_a_full_disk(s):
    """What stands in the file is whole lines, and a torn one at most where it was full."""
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    room = s.tmpfs("small", "16k")
    with open(f"{room}/record", "wb") as file:
        m = Monitor(s, s.argv("--sink", "record", "--log-target", "stderr", "--audit", s.path("audit")), netns=s.pod, stdout=file)
    s.pod_ip(*(f"route add 10.100.{n}.0/24 via 172.17.0.1" for n in range(200)))
    s.wait_audit("No space left", result="retry")
    expect(m.is_alive(), "it ended")


if __name__ == "__main__":
    main()
