#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""The whole of it: a pod, the monitor on the host, netmon-agent in a guest with a kernel of its own.

The guest is a virtual machine (vm/machine.py); its NIC is wired to the pod's link as Kata does it, and the monitor
reaches the agent by hybrid vsock on the host and AF_VSOCK in the guest. After whatever happens to either side, what
`ip` says in the pod is what `ip` says in the guest.
"""

import contextlib
import json
import os
import struct
import subprocess
import sys
import time

import guests
import ttrpc
from harness import case, expect, expect_equal, inside, ip_json, wait

AGENT = os.path.abspath(os.environ.get("NETMON_AGENT", "build/agent-proto/guest/netmon-agent"))
CTL = os.path.abspath(os.environ.get("NETMON_CTL", "build/runtime-bridge/ctl/netmonctl"))
PINGER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vm", "pinger.py")
guests.PROGRAMS.update({"/bin/netmon-agent": AGENT, "/bin/netmonctl": CTL})

MAC, MAC2 = "02:00:00:00:00:77", "02:00:00:00:00:78"
PORT = 1024
PING_MSEC = 5
VSOCK = f"vsock://-1:{PORT}"
PIPE = "pipe:///dev/vport1p1"
# A guest answers in milliseconds; a machine that is busy with other tests takes its time.
CONVERGE_SEC = 60


# ---- what ip says, on either side ----

LOOKS = ("addr", "-4 route show table main", "-6 route show table main", "neigh show nud permanent")


def look_at_pod(sandbox):
    return [ip_json(sandbox.pod, *look.split()) for look in LOOKS]


def look_at_guest(vm):
    said = vm.run("; echo @; ".join(f"/sbin/ip -j {look}" for look in LOOKS))
    return [json.loads(part.strip() or "[]") for part in said.split("@")]


def links_of(links, macs):
    """{MAC: (name, MTU, is it up, addresses)}"""
    return {link["address"]: (link["ifname"], link["mtu"], "UP" in link["flags"],
                              {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"})
            for link in links if link["address"] in macs}


def routes_of(routes, names):
    """Without the kernel's own, and those of a guest's other tenants (protocol dhcp)."""
    return {(r["dst"], r.get("gateway", ""), r["dev"], r.get("prefsrc", ""), r.get("scope", ""), "onlink" in r["flags"],
             r.get("metrics", [{}])[0].get("mtu"))
            for r in routes if r["dev"] in names and r.get("protocol") not in ("kernel", "dhcp", "ra")}


def network_of(looks, macs):
    addresses, routes4, routes6, neighbours = looks
    links = links_of(addresses, macs)
    names = {name for name, *_ in links.values()}
    return (links, routes_of(routes4, names), routes_of(routes6, names),
            {(n["dst"], n["dev"], n["lladdr"]) for n in neighbours if n["dev"] in names})


def differences(pod, guest):
    for what, wanted, seen in zip(("links", "routes", "IPv6 routes", "neighbours"), pod, guest):
        if wanted != seen:
            one, other = (set(map(str, side.items() if isinstance(side, dict) else side)) for side in (wanted, seen))
            yield f"{what}: only in the pod {sorted(one - other)[:5]}, only in the guest {sorted(other - one)[:5]}"


class Guest:
    """The agent in the machine, and the monitor that feeds it."""

    def __init__(self, sandbox, vm, listen, options):
        self.sandbox, self.vm, self.listen, self.options = sandbox, vm, listen, options
        self.url = f"hvsock://{vm.vsock}:{PORT}" if listen == VSOCK else f"pipe://{vm.serial_port}"
        self.macs = [MAC]
        self.monitor = None

    def start_agent(self):
        self.vm.run(f"netmon-agent --allow-local --hotplug-timeout 300 --listen {self.listen} >>/run/agent.log 2>&1 &")
        if self.listen == VSOCK:
            self.vm.wait(lambda: self.answers(PORT), "the agent listens")

    def answers(self, port):
        sock = self.vm.connect(port)
        if sock:
            sock.close()
        return sock is not None

    def kill_agent(self):
        self.vm.run("kill -9 $(pidof netmon-agent)")
        self.vm.wait(lambda: self.vm.result("pidof netmon-agent").status, "the agent's end")

    def start_monitor(self):
        self.monitor = self.sandbox.start("--sink", "agent", "--agent", self.url, *self.options)
        return self.monitor

    def stop_agent(self):
        """It takes what comes, and answers nothing."""
        self.vm.run("kill -STOP $(pidof netmon-agent)")

    def resume_agent(self):
        self.vm.run("kill -CONT $(pidof netmon-agent)")

    def wait_op(self):
        """An op is in flight, as the monitor has written down before it told it."""
        def is_open():
            with open(self.sandbox.state_path("agent/state"), encoding="utf-8") as file:
                text = file.read()
            return text.rfind('"begun":') > max(text.rfind('"done":'), text.rfind('"undone":'))
        wait(is_open, "an op in flight")

    def both(self):
        return network_of(look_at_pod(self.sandbox), self.macs), network_of(look_at_guest(self.vm), self.macs)

    def is_equal(self):
        pod, guest = self.both()
        if pod != guest:
            time.sleep(0.05)  # each look costs the guest a tenth of a second
        return pod == guest

    def wait_equal(self, what):
        try:
            wait(self.is_equal, what, CONVERGE_SEC)
        except Exception:
            pod, guest = self.both()
            said = "\n  ".join(differences(pod, guest))
            log = self.vm.result("tail -n 20 /run/agent.log").output
            expect(False, f"{what}: pod and guest differ\n  {said}\nagent: {log}")
        expect(self.monitor.is_alive(), "the monitor lives")

    def clear(self):
        """The next case finds a guest that knows of nothing."""
        if self.monitor and self.monitor.is_alive():
            expect_equal(self.monitor.term()[0], 0, "exit status of the monitor")
        self.vm.run("kill -9 $(pidof netmon-agent); rm -rf /run/netmon-agent /run/agent.log; true")


@contextlib.contextmanager
def pod_and_guest(sandbox, *options, listen=VSOCK):
    """A pod with eth0, which the guest has by its MAC alone, told of it once."""
    sandbox.veth("eth0", "addr add 10.0.0.2/24 dev {}", "addr add 2001:db8::2/64 dev {} nodad", mac=MAC)
    sandbox.peers_ip("addr add 10.0.0.1/24 dev p-eth0", "addr add 2001:db8::1/64 dev p-eth0 nodad")
    with guests.shared() as vm, guests.nic(vm, sandbox, MAC):
        guest = Guest(sandbox, vm, listen, options)
        guest.start_agent()
        guest.start_monitor()
        guest.wait_equal("the first look")
        yield guest
        guest.clear()


CHANGES = [
    ("an address", "addr add 10.0.0.3/24 dev eth0"),
    ("an address of another net", "addr add 192.168.7.2/32 dev eth0"),
    ("an IPv6 address", "addr add 2001:db8::3/64 dev eth0 nodad"),
    ("a default route", "route add default via 10.0.0.1"),
    ("an IPv6 default route", "route add default via 2001:db8::1 dev eth0"),
    ("a route with a source", "route add 172.16.0.0/12 via 10.0.0.1 src 10.0.0.3"),
    ("a route on the link", "route add 10.99.0.0/16 dev eth0 scope link"),
    ("a route over a gateway of nowhere", "route add 10.98.0.0/16 via 198.51.100.1 dev eth0 onlink"),
    ("a route with an MTU", "route add 10.97.0.0/16 via 10.0.0.1 mtu 1400"),
    ("an IPv6 route", "route add 2001:db8:1::/48 via 2001:db8::9 dev eth0"),
    ("a neighbour", "neigh add 10.0.0.9 lladdr 02:00:00:00:00:99 dev eth0"),
    ("an IPv6 neighbour", "neigh add 2001:db8::9 lladdr 02:00:00:00:00:99 dev eth0"),
]


@case
def what_comes_and_goes_in_the_pod_comes_and_goes_in_the_guest(sandbox):
    with pod_and_guest(sandbox) as guest:
        # What others have put into the guest is none of ours.
        guest.vm.run("/sbin/ip route add 203.0.113.0/24 dev eth0 proto dhcp")
        for what, line in CHANGES:
            sandbox.pod_ip(line)
            guest.wait_equal(f"{what} comes")
        sandbox.pod_ip("link set eth0 mtu 1420")
        guest.wait_equal("an MTU")
        for what, line in reversed(CHANGES):
            sandbox.pod_ip(line.replace(" add ", " del ", 1).replace(" nodad", ""))
            guest.wait_equal(f"{what} goes")
        route, = guest.vm.ip_json("route show proto dhcp")
        expect_equal(route["dst"], "203.0.113.0/24", "the route of another")


@case
def a_link_that_is_plugged_later_is_told_when_it_is_there(sandbox):
    with pod_and_guest(sandbox) as guest:
        sandbox.veth("eth1", "addr add 10.1.0.2/24 dev {}", mac=MAC2)
        sandbox.wait_audit("not plugged yet", op="add-link", result="retry")
        sandbox.pod_ip("route add 10.3.0.0/16 dev eth0")
        wait(lambda: "10.3.0.0/16" in guest.vm.run("ip route"), "it holds up nobody else")
        guest.vm.plug("tap1_kata", sandbox.pod, MAC2)
        guest.macs.append(MAC2)
        guest.wait_equal("a link that the guest has now")
        sandbox.pod_ip("link set eth1 down", "link set eth1 name net1", "link set net1 up", "route add 10.2.0.0/16 dev net1")
        guest.wait_equal("its name and a route over it")
        sandbox.pod_ip("link del net1")

        def is_withdrawn():
            link, = [link for link in guest.vm.ip_json("addr") if link["address"] == MAC2]
            return "UP" not in link["flags"] and not link["addr_info"]
        guest.vm.wait(is_withdrawn, "the guest's NIC has nothing and is down")
        guest.macs.remove(MAC2)
        guest.wait_equal("the other link")
        guest.vm.unplug("tap1_kata")


def addresses(first, count, verb="add"):
    return [f"addr {verb} 10.{64 + i // 200}.{i % 200}.1/24 dev eth0" for i in range(first, first + count)]


def routes(first, count, verb="add"):
    return [f"route {verb} {16 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24 via 10.0.0.1" for i in range(first, first + count)]


@case
def a_storm_of_addresses_and_routes_ends_in_the_truth(sandbox):
    with pod_and_guest(sandbox) as guest:
        before = time.monotonic()
        sandbox.pod_ip(*routes(0, 1500), *addresses(0, 120), *routes(1500, 500), *addresses(0, 60, "del"), *addresses(200, 20),
                       *routes(300, 700, "del"))
        stormed = time.monotonic()
        guest.wait_equal("200 address changes and 2,700 changes of routes")
        print(f"# storm: {stormed - before:.2f} s, equal {time.monotonic() - stormed:.2f} s after it")
        sandbox.pod_ip(*routes(0, 300, "del"), *routes(1000, 1000, "del"), *addresses(60, 60, "del"), *addresses(200, 20, "del"))
        guest.wait_equal("all of it is gone")


@case
def an_agent_that_dies_in_the_middle_of_a_plan_is_told_the_rest(sandbox):
    with pod_and_guest(sandbox) as guest:
        for i in range(3):
            guest.stop_agent()
            sandbox.pod_ip(*addresses(20 * i, 20), *routes(100 * i, 100), *(addresses(20 * i - 20, 10, "del") if i else []))
            guest.wait_op()
            guest.kill_agent()
            guest.start_agent()
            guest.wait_equal(f"agent {i + 2}")
        expect_equal(len([r for r in sandbox.audit(result="retry") if "connection lost" in r["reason"]]), 3,
                     "ops that nobody answered")
        # Killed while it carries it out, at whatever instant.
        sandbox.pod_ip(*routes(1000, 1000))
        guest.vm.run("while [ $(/sbin/ip route | wc -l) -lt 500 ]; do :; done; kill -9 $(pidof netmon-agent)")
        sandbox.pod_ip(*routes(0, 300, "del"), *routes(1500, 500, "del"))
        guest.start_agent()
        guest.wait_equal("an agent that was killed at work")


@case
def a_monitor_that_is_killed_finds_what_has_changed_since(sandbox):
    with pod_and_guest(sandbox) as guest:
        for i in range(3):
            guest.stop_agent()
            sandbox.pod_ip(*addresses(20 * i, 20), *routes(200 * i, 200))
            guest.wait_op()
            guest.monitor.kill()
            # Half of what was under way, and something that the guest had for long.
            sandbox.pod_ip(*addresses(20 * i, 10, "del"), *routes(200 * i + 50, 100, "del"), *addresses(300 + i, 1),
                           *(routes(200 * i - 200, 50, "del") if i else []), f"link set eth0 mtu {1400 + i}")
            guest.resume_agent()
            guest.start_monitor()
            guest.wait_equal(f"monitor {i + 2}")


@case
def a_connection_that_is_cut_loses_nothing(sandbox):
    with pod_and_guest(sandbox) as guest:
        monitor = guest.monitor
        for i in range(2):
            guest.vm.cut_connections()
            sandbox.pod_ip(*addresses(10 * i, 10), *routes(100 * i, 100))
            guest.wait_equal("cut before it is told")
            sandbox.pod_ip(*addresses(10 * i, 5, "del"), *routes(100 * i, 50, "del"))
            guest.vm.cut_connections()
            guest.wait_equal("cut while it is told")
            # Nothing comes through for a while, and then the end.
            guest.vm.freeze_connections()
            sandbox.pod_ip(*routes(1000 + 100 * i, 100), f"link set eth0 mtu {1400 + i}")
            guest.vm.cut_connections()
            guest.vm.thaw_connections()
            guest.wait_equal("cut after it did not come through")
        expect_equal(guest.monitor, monitor, "one monitor all the time")


@case
def a_paused_machine_has_it_all_when_it_goes_on(sandbox):
    with pod_and_guest(sandbox) as guest:
        for i in range(2):
            guest.vm.pause()
            sandbox.pod_ip(*addresses(10 * i, 10), *routes(200 * i, 200), f"link set eth0 mtu {1400 + i}")
            time.sleep(1)  # as long as a snapshot of a small machine takes: the monitor has told what it can by now
            sandbox.pod_ip(*addresses(10 * i, 5, "del"), *routes(200 * i, 100, "del"))
            expect(guest.monitor.is_alive(), "the monitor lives")
            guest.vm.resume()
            guest.wait_equal("the machine goes on")


@case
def a_virtio_serial_port_is_as_good_as_a_socket(sandbox):
    # A port says nothing of an agent that went: it is a call without an answer that ends the connection.
    with pod_and_guest(sandbox, "-runtime-timeout", "2", listen=PIPE) as guest:
        sandbox.pod_ip(*addresses(0, 20), *routes(0, 300))
        guest.wait_equal("changes")
        guest.kill_agent()
        sandbox.pod_ip(*addresses(0, 10, "del"), *routes(0, 100, "del"))
        guest.start_agent()
        guest.wait_equal("another agent")
        guest.monitor.kill()
        sandbox.pod_ip(*addresses(20, 20), *routes(100, 100, "del"))
        guest.start_monitor()
        guest.wait_equal("another monitor")


@case
def vsock_itself_is_spoken_to_from_within_the_guest(sandbox):
    """AF_VSOCK as a host with vhost-vsock has it: the guest's own loopback stands for that."""
    with pod_and_guest(sandbox) as guest:
        expect_equal(guest.vm.result(f"netmonctl agent vsock://1:{PORT} ping").status, 0, "ping")
        said = json.loads(guest.vm.run(f"netmonctl agent vsock://1:{PORT} interfaces --json"))
        expect(MAC in json.dumps(said).lower(), f"its interfaces: {said}")
        for where in ("1:999", "99:1024"):
            result = guest.vm.result(f"netmonctl agent vsock://{where} ping")
            expect(result.status, f"nobody is at {where}: {result.output}")


def is_served(sock):
    """The agent answers on it; False: it has closed it."""
    try:
        with ttrpc.Agent(sock) as agent:
            return agent.check() == 1
    except (ConnectionError, BrokenPipeError):
        return False


def is_served_inside(vm, cid, source_port):
    """As is_served(), to a process of the guest's that has this port."""
    body = ttrpc.encode(ttrpc.FRAME_REQUEST, {"service": ttrpc.HEALTH, "method": "Check"})
    frame = struct.pack(">IIBB", len(body), 1, ttrpc.REQUEST, 0) + body
    return vm.result(f"guest-shell {cid} {PORT} {source_port}", frame).status == 0


@case
def vsock_is_for_the_host_and_for_root_of_this_vm(_sandbox):
    """A port below 1024 says root of who is within; a VM beside this one chooses it as it likes."""
    with guests.shared() as vm:
        for option, is_local in (("", False), ("--allow-local", True)):
            vm.run(f"netmon-agent {option} --listen {VSOCK} >>/run/agent.log 2>&1 &")
            vm.wait(lambda: vm.connect(PORT), "the agent listens").close()
            expect(is_served(vm.connect(PORT)), "the host is not served")
            for source in ("7:999", "7:5000", "1000:1"):
                expect(not is_served(vm.connect(PORT, source)), f"a VM at {source} is served")
            for n, cid in enumerate((1, vm.cid)):
                expect(is_served_inside(vm, cid, 900 + n), f"root within, by CID {cid}, is not served")
                expect_equal(is_served_inside(vm, cid, 5000 + n), is_local, f"anybody within, by CID {cid}")
            expect_equal(vm.run("cat /run/agent.log").count("is refused"), 1, "said once a minute")
            vm.run("kill -9 $(pidof netmon-agent); rm -rf /run/netmon-agent /run/agent.log; true")
            vm.wait(lambda: vm.result("pidof netmon-agent").status, "the agent's end")


# ---- the outage of a change ----


class Pings:
    """Echo requests from the pod's peer to the guest, for as long as it is open; then what became of them."""

    def __init__(self, sandbox, *targets):
        with inside(sandbox.peers):
            self.process = subprocess.Popen([sys.executable, "-B", PINGER, str(PING_MSEC), *targets], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        sandbox.children.append(self.process)
        expect_equal(self.process.stdout.readline(), "answered\n", "the guest answers")

    def end(self):
        self.process.stdin.close()
        self.times = json.loads(self.process.stdout.readline())
        self.process.wait()

    def between(self, begin, end):
        """Of the requests of that time: how many, how many lost, and the longest time without an answer, in ms."""
        sent = [(at, answered) for times in self.times for at, answered in times if begin <= at <= end]
        gaps = [0]
        for times in self.times:
            answers = sorted(answered for at, answered in times if answered and begin <= at <= end)
            gaps += [b - a for a, b in zip(answers, answers[1:])]
        return len(sent), sum(not answered for _, answered in sent), max(gaps) * 1000


TIMED = [
    ("address added", "addr add 10.0.0.3/24 dev eth0", "addr add 2001:db8::3/64 dev eth0 nodad"),
    ("address withdrawn", "addr del 10.0.0.3/24 dev eth0", "addr del 2001:db8::3/64 dev eth0"),
    ("route added", "route add 10.99.0.0/16 via 10.0.0.1", "route add 2001:db8:9::/48 via 2001:db8::1 dev eth0"),
    ("route withdrawn", "route del 10.99.0.0/16", "route del 2001:db8:9::/48"),
    ("neighbour added", "neigh add 10.0.0.9 lladdr 02:00:00:00:00:99 dev eth0"),
    ("neighbour withdrawn", "neigh del 10.0.0.9 dev eth0"),
]

# What Kata's agent does with UpdateInterface (src/agent/src/netlink.rs): the link goes down, and the kernel takes its
# IPv6 addresses and routes with it.
BOUNCE = "/sbin/ip link set eth0 down; /sbin/ip addr replace 2001:db8::2/64 dev eth0; /sbin/ip link set eth0 up"


@case
def a_change_costs_the_guest_not_one_packet(sandbox):
    """The bounce at the end shows that an outage would have been seen."""
    spans = {}
    with pod_and_guest(sandbox) as guest:
        pings = Pings(sandbox, "10.0.0.2", "2001:db8::2")

        def span(what, change):
            begin = time.monotonic()
            change()
            guest.wait_equal(what)
            time.sleep(0.1)  # and what comes of it a moment later
            spans.setdefault(what, []).append((begin, time.monotonic()))
        for _ in range(2):
            span("no change", lambda: None)
            for what, *lines in TIMED:
                span(what, lambda lines=lines: sandbox.pod_ip(*lines))
        span("bounce", lambda: guest.vm.run(BOUNCE))
        wait(lambda: guest.vm.result("ping -6 -c 1 -W 1 2001:db8::1").status == 0, "IPv6 after the bounce")
        pings.end()
    lost_by_us = 0
    for what, times in spans.items():
        seen = [pings.between(*one) for one in times]
        sent, lost, gap = sum(s[0] for s in seen), sum(s[1] for s in seen), max(s[2] for s in seen)
        print(f"# {what}: {lost} of {sent} lost, longest time without an answer {gap:.0f} ms")
        if what == "bounce":
            expect(lost > 0, "an outage is seen")
        else:
            lost_by_us += lost
    expect_equal(lost_by_us, 0, "packets that were lost over a change")


if __name__ == "__main__":
    guests.main()
