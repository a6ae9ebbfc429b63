# SPDX-License-Identifier: Apache-2.0
"""A runtime that fails, hangs, babbles or is not there: nothing ends the monitor, and one bad link holds up nobody."""

import os
import re
import shutil
import signal

from harness import SLOWNESS, STUB, case, command_of, expect, expect_equal, main, processes, wait


def eth1(s):
    return s.veth("eth1", "addr add 10.1.0.2/24 dev {}")


ETH1_ADDED = [("add-iface", "eth1", ["10.1.0.2/24"])]


def gaps_msec(calls):
    return [(b.begin_usec - a.begin_usec) // 1000 for a, b in zip(calls, calls[1:])]


@case
def runtime_fails_and_is_asked_again(s):
    s.eth0()
    m = s.start_told()
    s.knob("fail-verb-add-iface", "rpc error: code = Unavailable")
    eth1(s)
    wait(lambda: len(s.calls("add-iface")) >= 4, "it asks again")
    gaps = gaps_msec(s.calls("add-iface")[:4])
    expect(all(gap >= low for gap, low in zip(gaps, (70, 140, 280))), f"backoff {gaps} ms, wanted 100 doubling")
    records = wait(lambda: s.audit(op="add-link", result="retry")[2:], "audit records")
    expect_equal([r["attempt"] for r in s.audit(op="add-link", result="retry")[:3]], ["1", "2", "3"], "attempts")
    expect("rpc error: code = Unavailable" in records[0]["reason"], f"the runtime's words in {records[0]}")
    s.unknob("fail-verb-add-iface")
    s.wait_iface_calls(ETH1_ADDED, seconds=15)
    s.wait_true()
    expect(m.is_alive(), "it ended")


@case
def runtime_fails_in_every_way(s):
    s.eth0()
    m = s.start_told()
    for status in (1, 2, 126, 127, 255):
        s.knob("exit", status)
        before = len(s.calls())
        s.pod_ip(f"route add 10.9.{status}.0/24 via 172.17.0.1")
        wait(lambda: len([c for c in s.calls()[before:] if c.status == status]) >= 1, f"a call that ends with {status}")
        s.wait_audit(f"exit status {status}", op="set-routes", result="retry")
        s.unknob("exit")
        s.wait_routes(15)
    expect(m.is_alive(), "it ended")


@case
def runtime_dies_by_a_signal(s):
    s.eth0()
    s.start_told()
    s.knob("hang")
    s.pod_ip("route add 10.9.0.0/16 via 172.17.0.1")
    call = wait(lambda: [c for c in s.calls("update-routes") if c.status is None], "a call")[0]
    s.unknob("hang")
    os.kill(call.pid, signal.SIGTERM)
    s.wait_audit("signal 15", op="set-routes", result="retry")
    s.wait_routes()


@case
def runtime_fails_for_one_link_only(s):
    """It goes on asking for that one, and the others and their routes do not wait."""
    s.eth0()
    s.start_told()
    bad = "02:00:00:00:bb:bb"
    s.knob("fail-mac", f"{bad} no more PCI slots\n")
    s.veth("bad0", "addr add 10.66.0.2/24 dev {}", mac=bad)
    wait(lambda: s.calls("add-iface"), "the bad one")
    s.pod_ip("route add 10.67.0.0/16 via 10.66.0.1")
    for number in range(5):
        s.veth(f"eth{number + 1}", f"addr add 10.{number + 1}.0.2/24 dev {{}}")
        s.pod_ip(f"route add 10.9.{number}.0/24 via 10.{number + 1}.0.1")
        wait(lambda: len(s.done("add-iface")) == number + 1, f"link {number} within a second", 1)
        wait(lambda: f"10.9.{number}.0/24" in str(s.guest_routes()), "and its route", 2)
    expect("10.67.0.0/16" not in str([c.document for c in s.calls("update-routes")]), "a route over the bad one was sent")
    expect(len([c for c in s.calls("add-iface") if c.iface.mac == bad]) < 12, "the bad one is asked for too often")
    s.unknob("fail-mac")
    s.wait_true(20)


@case
def runtime_refuses_for_good(s):
    """Twice is believed: then it is quiet until the value changes."""
    s.eth0()
    s.start_told()
    bad = "02:00:00:00:bb:bb"
    s.knob("fail-mac", f"{bad} Unsupported network interface: veth\n")
    s.veth("bad0", "addr add 10.66.0.2/24 dev {}", mac=bad)
    wait(lambda: len(s.calls("add-iface")) == 2, "two refusals")
    wait(lambda: len(s.audit(op="add-link", result="refused")) == 2, "both audited")
    s.quiet("it is refused for good", 1.5)
    s.wait_audit("refused", kind="drift", interface="bad0")
    s.unknob("fail-mac")
    s.quiet("nothing has changed", 0.5)
    s.pod_ip("addr add 10.66.0.3/24 dev bad0")
    s.wait_iface_calls([("add-iface", "bad0", ["10.66.0.2/24", "10.66.0.3/24"])])


@case
def runtime_refuses_an_mtu_for_good(s):
    s.eth0()
    s.start_told()
    s.knob("fail-verb-add-iface", "Could not set TAP MTU 9000: invalid argument")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}", mtu=9000)
    wait(lambda: len(s.calls("add-iface")) == 2, "two refusals")
    s.unknob("fail-verb-add-iface")
    s.quiet("it is refused for good", 0.5)
    s.pod_ip("link set eth1 mtu 1500")
    s.wait_iface_calls(ETH1_ADDED)


HANG_SCRIPT = """#!/bin/sh
sleep 7654321 &
exec "$STUB" "$@"
"""


def sleepers():
    return [pid for pid in processes() if "sleep 7654321" in command_of(pid)]


@case
def runtime_hangs_and_is_killed_with_its_group(s):
    s.eth0()
    s.knob("hang")
    m = s.start("--runtime-timeout", "1", runtime=s.script(HANG_SCRIPT))
    call = wait(lambda: s.calls("update-routes"), "a call")[0]
    grandchild = wait(sleepers, "the grandchild")[0]
    wait(lambda: call.pid not in processes(), "the runtime is killed", 4)
    wait(lambda: grandchild not in processes(), "and what it started")
    s.wait_audit("killed", op="set-routes", result="retry")
    took = int(s.audit(op="set-routes", result="retry")[0]["duration_usec"])
    expect(900_000 < took < 2_000_000 * SLOWNESS, f"it was given {took} us")
    s.unknob("hang")
    s.wait_routes(20)
    eth1(s)
    s.wait_iface_calls(ETH1_ADDED)
    expect(m.is_alive(), "it ended")


@case
def runtime_leaves_a_child_with_its_pipe(s):
    """A grandchild that holds stderr open must not hold up the next op."""
    s.eth0()
    s.start_told(runtime=s.script(HANG_SCRIPT))
    eth1(s)
    s.wait_iface_calls(ETH1_ADDED, seconds=3)
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1")
    s.wait_routes(3)


@case
def runtime_prints_megabytes(s):
    s.eth0()
    m = s.start_told()
    before = m.memory_kib("VmRSS")
    s.knob("noise_bytes", 20_000_000)
    eth1(s)
    s.wait_iface_calls(ETH1_ADDED)
    s.knob("fail-verb-update-routes", "the end of it")
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1")
    record = s.wait_audit("bytes more", op="set-routes", result="retry")[0]
    expect(len(record["reason"]) < 9000, f"{len(record['reason'])} bytes of a runtime's words in the audit")
    expect("####" in record["reason"], "its first words")
    grown = m.memory_kib("VmHWM") - before
    expect(SLOWNESS > 1 or grown < 4096, f"peak memory grew by {grown} KiB")
    s.unknob("noise_bytes")
    s.unknob("fail-verb-update-routes")
    s.wait_true(15)


HOSTILE_SCRIPT = """#!/bin/sh
printf 'a\\nop=add-link result=done" \\033[2J\\r\\0\\377 b\\n' >&2
exit 1
"""


@case
def runtime_words_forge_nothing(s):
    s.eth0()
    s.start(runtime=s.script(HOSTILE_SCRIPT))
    record = wait(lambda: s.audit(op="set-routes", result="retry"), "a record")[0]
    with open(s.path("audit"), "rb") as file:
        data = file.read()
    expect(all(byte == 10 or 32 <= byte < 127 for byte in data), f"control bytes in the audit: {data!r}")
    expect(all(line.startswith(b"time=") for line in data.splitlines()), f"a forged line: {data!r}")
    expect("op=add-link" in record["reason"] and record["reason"].startswith("exit status 1: a"), f"reason {record['reason']}")
    expect_equal(s.audit(op="add-link"), [], "forged records")


@case
def runtime_is_missing_and_then_comes(s):
    s.eth0()
    path = s.path("late-runtime")
    m = s.start(runtime=path)
    s.wait_audit("No such file", op="set-routes", result="retry")
    with open(path, "w", encoding="utf-8") as file:
        file.write("not a program")
    s.wait_audit("Permission denied", op="set-routes", result="retry")
    expect(m.is_alive(), "it ended")
    os.unlink(path)
    os.symlink(STUB, path)
    s.wait_routes(20)


@case
def runtime_is_found_by_path(s):
    s.eth0()
    os.mkdir(s.path("bin"))
    shutil.copy(STUB, s.path("bin/some-runtime"))
    s.start_told(runtime="some-runtime", env={"PATH": f"/none:{s.path('bin')}"})
    s.wait_routes()


@case
def runtime_argv_is_the_originals(s):
    s.eth0()
    path = s.script('#!/bin/sh\nprintf "%s\\n" "$#" "$@" >>"$0.argv"\nexec "$STUB" "$@"\n')
    s.start_told(runtime=path)
    eth1(s)
    s.wait_iface_calls(ETH1_ADDED)
    with open(path + ".argv", encoding="utf-8") as file:
        words = file.read().split("\n")
    shared = s.state_path("shared.json")
    expect_equal(words[:10], ["4", "kata-network", "update-routes", s.id, f"/var{shared}",
                              "4", "kata-network", "add-iface", s.id, f"/var{shared}"], "argv")
    wait(lambda: not os.path.exists(shared), "the shared file goes after each call")


@case
def runtime_dialects(s):
    """PciAddr for the readers up to 1.12, PciPath for those since."""
    s.eth0()
    for dialect, keys in (("1.12", {"PciAddr"}), ("1.13", {"PciPath"}), ("both", {"PciAddr", "PciPath"})):
        m = s.start_told("--dialect", dialect)
        before = len(s.done("add-iface"))
        eth1(s)
        wait(lambda: len(s.done("add-iface")) > before, "told")
        document = s.done("add-iface")[-1].document
        expect_equal({key for key in document if key.startswith("Pci")}, keys, f"keys of dialect {dialect}")
        s.pod_ip("link del eth1")
        s.wait_true()
        m.kill()
        shutil.rmtree(s.state_path())


@case
def runtime_calls_are_audited(s):
    s.eth0()
    s.start_told()
    eth1(s)
    s.wait_iface_calls(ETH1_ADDED)
    s.pod_ip("link del eth1")
    wait(lambda: s.audit(op="del-link"), "a record")
    with open(s.path("audit"), encoding="utf-8") as file:
        lines = file.read().splitlines()
    shape = re.compile(r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z kind=(op|resync|drift|life) sandbox=%s op=\S+ interface=\S+ '
                       r'generation=\d+ attempt=\d+ result=\S+ duration_usec=\d+ reason=.*' % re.escape(s.id))
    for line in lines:
        expect(shape.fullmatch(line), f"a line of another shape: {line}")
    record = s.audit(op="add-link")[0]
    expect_equal((record["kind"], record["interface"], record["attempt"], record["result"]), ("op", "eth1", "1", "done"), "record")
    expect(int(record["duration_usec"]) > 100, f"duration {record['duration_usec']} us")
    expect_equal(oct(os.stat(s.path("audit")).st_mode & 0o7777), "0o640", "mode of the audit file")


@case
def runtime_is_told_nothing_over_and_over(s):
    """Idle is idle: no call, no wake-up of its own."""
    s.eth0()
    m = s.start_told()
    eth1(s)
    s.wait_true()
    s.quiet("all is told", 2.5)  # with DAD and the kernel's late words

    def switches():
        with open(f"/proc/{m.pid}/status", encoding="utf-8") as file:
            return sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", file.read())))
    before = switches()
    s.quiet("nothing happens", 2)
    expect(switches() - before <= 2, f"{switches() - before} wake-ups in 2 s of nothing")


if __name__ == "__main__":
    main()
