# SPDX-License-Identifier: Apache-2.0
"""netmon-agent as a host sees it: the real binary in a namespace that stands for the guest, asked over a socket;
what came of it is read with ip(8)."""

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import time

import ttrpc
from harness import (Failure, Monitor, case, expect, expect_equal, inside, ip_json, main, run, seed, wait)
from ttrpc import Agent, Error, neighbor_value, route_value

AGENT = os.path.abspath(os.environ.get("NETMON_AGENT", "build/agent-proto/guest/netmon-agent"))
OURS = "157"
ABORTED = 10
# Links that come late come before this, however busy the machine is.
PATIENT = ("--hotplug-timeout", "60000")
# The fixed bytes of a host's hello: agent-proto/pipe.c.
PIPE_HELLO = b"\xffnetmo-piPE\x01\r\n\x08\xfe"


def is_sanitized(path):
    with open(path, "rb") as file:
        return b"__asan_init" in file.read()


def route(dest, **fields):
    return route_value(dest, **{"device": "eth0"} | fields)


class Guest:
    """The agent in the sandbox's pod namespace. Its links are the pod's."""

    def __init__(self, s, *options):
        self.s, self.options, self.path = s, options, s.path("agent.sock")
        self.start()

    def start(self):
        self.run = Monitor(self.s, [AGENT, "--listen", f"unix://{self.path}", "--state-dir", self.s.path("state"),
                                    "--debug", *self.options], netns=self.s.pod)
        wait(lambda: "serves unix" in self.run.stderr() or not self.run.is_alive(), "the agent serves")
        expect(self.run.is_alive(), self.run.stderr())
        self.agent = Agent.unix(self.path)

    def restart(self, number=signal.SIGTERM):
        self.agent.close()
        self.run.kill(number)
        self.s.monitors.remove(self.run)
        self.start()

    def __getattr__(self, name):
        return getattr(self.agent, name)

    def link(self, name):
        return ip_json(self.s.pod, "addr", "show", "dev", name)[0]

    def addresses(self, name):
        return sorted(f"{a['local']}/{a['prefixlen']}" for a in self.link(name)["addr_info"] if a["scope"] != "link")

    def routes(self, *which):
        """{destination: gateway or device} of those of the main table that are no kernel's."""
        return {r["dst"]: r.get("gateway", r.get("dev")) for family in ("-4", "-6")
                for r in ip_json(self.s.pod, "-N", family, "route", "show", *which)
                if r.get("protocol") not in ("2", "kernel")}

    def own_routes(self):
        return self.routes("proto", OURS)

    def neighbours(self, name):
        return {n["dst"]: n["lladdr"] for n in ip_json(self.s.pod, "neigh", "show", "dev", name, "nud", "permanent")}


def refused(code, text, call, *arguments, **fields):
    try:
        call(*arguments, **fields)
    except Error as error:
        expect_equal(error.code, code, "code")
        expect(text in error.message and "<" not in error.message, f"{text!r} is not in {error.message!r}")
        return
    raise Failure(f"{text!r} was not refused")


def ask_for(agent, mac, addresses, timeout_nsec=0, **fields):
    """Sent, and not waited for. Returns the stream."""
    value = ttrpc.interface_value(addresses, hwAddr=mac, **fields)
    return agent.send(ttrpc.AGENT, "UpdateInterface", ttrpc.encode(ttrpc.UPDATE_INTERFACE, {"interface": value}),
                      timeout_nsec)


@contextlib.contextmanager
def stopped(guest):
    """What happens within it sees at once, afterwards."""
    os.kill(guest.run.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(guest.run.pid, signal.SIGCONT)


def connected(path):
    """An agent that listens by now; None: not yet. (A path is there before anybody listens on it.)"""
    try:
        return Agent.unix(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


@case
def says_who_it_is(s):
    g = Guest(s)
    expect_equal(g.check(), 1, "SERVING")
    details = g.details()
    expect(details["version"] and details["version"] == g.version()["agent_version"], f"version: {details}")
    expect_equal((details["extra_features"], details["init_daemon"]), (["netmon.delta.v1"], 0), "features")
    expect_equal(g.version()["grpc_version"], "0.0.1", "as every Kata")


@case
def is_static_and_small(s):
    if is_sanitized(AGENT):
        return
    expect("INTERP" not in run("readelf", "-lW", AGENT), "it wants a loader")
    run("strip", "-o", s.path("stripped"), AGENT)
    expect(os.path.getsize(s.path("stripped")) <= 2 << 20, "more than 2 MiB")
    # Nothing of the file system is needed but /proc for the id of the boot.
    result = subprocess.run([AGENT, "--version"], capture_output=True, text=True, env={})
    expect(result.returncode == 0 and result.stdout.startswith("netmon-agent version "), str(result))


@case
def options_are_checked(s):
    for argv, text in ((["--nonsense"], "nonsense"), (["--listen", "hvsock:///x:1"], "--listen"), (["word\n"], "word"),
                       (["--hotplug-timeout", "60001"], "60000"), (["--state-dir", "relative"], "absolute")):
        result = subprocess.run([AGENT, *argv], capture_output=True, text=True, timeout=20)
        expect(result.returncode == 2 and text in result.stderr, f"{argv}: {result}")
    result = subprocess.run([AGENT, "--help"], capture_output=True, text=True)
    expect(result.returncode == 0 and "--hotplug-timeout" in result.stdout, str(result))


@case
def interface_is_set(s):
    mac = s.veth("eth0", up=False)
    g = Guest(s)
    answer = g.update_interface(hwAddr=mac.upper(), name="net0", mtu=1400, raw_flags=0x80,
                                addresses=["10.1.0.2/24", "2001:db8::2/64"])
    expect_equal((answer["name"], len(answer["IPAddresses"])), ("net0", 2), "it answers with what was asked for")
    link = g.link("net0")
    expect_equal((link["mtu"], link["address"]), (1400, mac), "MTU")
    expect("UP" in link["flags"] and "NOARP" in link["flags"], f"flags: {link['flags']}")
    expect_equal(g.addresses("net0"), ["10.1.0.2/24", "2001:db8::2/64"], "addresses")
    expect(not any(a.get("tentative") for a in link["addr_info"]
                   if a["scope"] == "global"), "an address can't be used yet")


@case
def own_addresses_are_declarative_and_foreign_ones_stay(s):
    mac = s.veth("eth0", "addr add 192.0.2.1/24 dev {}", "addr add 2001:db8:f::1/64 dev {} nodad")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64", "192.0.2.1/24"])
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.3/24"])
    expect_equal(g.addresses("eth0"), ["10.1.0.3/24", "192.0.2.1/24", "2001:db8:f::1/64"],
                 "ours that is not named goes; one that was there before it was asked for is not ours")
    g.restart(signal.SIGKILL)
    g.update_interface(hwAddr=mac, name="eth0", addresses=[])
    expect_equal(g.addresses("eth0"), ["192.0.2.1/24", "2001:db8:f::1/64"], "ours are known after a kill")


@case
def secondary_addresses_outlive_the_first(s):
    """The kernel takes all others of a subnet with the first; foreign ones too."""
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "10.1.0.3/24"])
    s.pod_ip("addr add 10.1.0.9/24 dev eth0", "route add 10.9.0.0/16 via 10.1.0.1")
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.3/24"])
    expect_equal(g.addresses("eth0"), ["10.1.0.3/24", "10.1.0.9/24"], "addresses")
    expect_equal(g.routes(), {"10.9.0.0/16": "10.1.0.1"}, "the foreign route")


@case
def prefix_length_of_an_address_changes(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, addresses=["10.1.0.2/24", "2001:db8::2/64"])
    g.update_interface(hwAddr=mac, addresses=["10.1.0.2/16", "2001:db8::2/48"])
    expect_equal(g.addresses("eth0"), ["10.1.0.2/16", "2001:db8::2/48"], "addresses")


@case
def sources_outlive_a_prefix_length(s):
    """The kernel strikes an IPv6 address that goes out of all routes that have it as their source."""
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["2001:db8::2/64"])
    g.update_routes(route("2001:db8:8::/48", gateway="2001:db8::1", source="2001:db8::2"))
    s.pod_ip("route add 2001:db8:50::/48 via 2001:db8::1 src 2001:db8::2 proto bgp mtu 1300",
             "route add 2001:db8:51::/48 dev eth0 src 2001:db8::2 proto bgp table 77",
             "route add 2001:db8:52::/48 src 2001:db8::2 proto bgp nexthop via 2001:db8::1 nexthop via 2001:db8::9",
             "route add 2001:db8:53::/48 via 2001:db8::1 proto bgp")

    def routes():
        return [{key: r.get(key) for key in ("dst", "gateway", "dev", "prefsrc", "protocol", "metrics", "nexthops")}
                for r in ip_json(s.pod, "-d", "-6", "route", "show", "table", "all") if r.get("protocol") != "kernel"]

    before = routes()
    expect_equal(sum("2001:db8::2" == r["prefsrc"] for r in before), 4, "sources")
    g.update_interface(hwAddr=mac, addresses=["2001:db8::2/48"])
    expect_equal(routes(), before, "routes")


@case
def source_is_not_put_back_over_another_route(s):
    """Of two with one destination and metric the kernel would replace the first for the second."""
    mac, _ = s.veth("eth0"), s.veth("eth1", "addr add 2001:db8:1::2/64 dev {} nodad")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["2001:db8::2/64"])
    lines = ["dev eth1 src 2001:db8:1::2 proto bgp", "dev eth0 src 2001:db8::2 proto bgp"]
    s.pod_ip(*[f"route append 2001:db8:5{n}::/48 {line}" for n in (0, 1) for line in lines[::1 - 2 * n]])
    g.update_interface(hwAddr=mac, addresses=["2001:db8::2/48"])
    seen = [[(r["dev"], r.get("prefsrc")) for r in ip_json(s.pod, "-6", "route", "show", f"2001:db8:5{n}::/48")]
            for n in (0, 1)]
    theirs = ("eth1", "2001:db8:1::2")
    expect_equal(seen, [[theirs, ("eth0", None)], [("eth0", "2001:db8::2"), theirs]], "routes")


@case
def foreign_address_of_another_length_is_in_the_way(s):
    mac = s.veth("eth0", "addr add 2001:db8::2/128 dev {} nodad")
    g = Guest(s)
    refused(ttrpc.INTERNAL, "not ours", g.update_interface, hwAddr=mac, addresses=["2001:db8::2/64", "10.1.0.2/24"])
    expect_equal(g.addresses("eth0"), ["10.1.0.2/24", "2001:db8::2/128"], "addresses")
    g.update_interface(hwAddr=mac, addresses=[])
    expect_equal(g.addresses("eth0"), ["2001:db8::2/128"], "theirs stays")


@case
def address_is_asked_for_twice(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, addresses=["10.1.0.2/24", "2001:db8::2/64"] * 2)
    expect_equal(g.addresses("eth0"), ["10.1.0.2/24", "2001:db8::2/64"], "addresses")
    refused(ttrpc.INTERNAL, "of another length", g.update_interface, hwAddr=mac, addresses=["2001:db8::2/64", "2001:db8::2/48"])
    g.update_interface(hwAddr=mac, addresses=[])
    expect_equal(g.addresses("eth0"), [], "all of it was ours")


@case
def address_taken_away_and_added_by_others_is_theirs(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, addresses=["10.1.0.2/24"])
    s.pod_ip("addr del 10.1.0.2/24 dev eth0")
    g.list_network()
    s.pod_ip("addr add 10.1.0.2/24 dev eth0")
    g.restart(signal.SIGKILL)
    g.update_interface(hwAddr=mac, addresses=[])
    expect_equal(g.addresses("eth0"), ["10.1.0.2/24"], "theirs stays")


@case
def names_are_swapped(s):
    a, b = s.veth("eth0", "addr add 10.1.0.2/24 dev {}"), s.veth("eth1", "addr add 10.2.0.2/24 dev {}")
    s.pod_ip("route add 10.77.0.0/16 via 10.1.0.1")
    g = Guest(s)
    g.update_interface(hwAddr=b, name="eth0")
    expect_equal([g.link(name)["address"] for name in ("eth0", "eth1")], [b, a], "MACs")
    expect_equal(g.routes(), {"10.77.0.0/16": "10.1.0.1"}, "routes stay")
    refused(ttrpc.INTERNAL, "loopback", g.update_interface, hwAddr=b, name="lo")


@case
def link_that_comes_late_is_waited_for(s):
    g = Guest(s, *PATIENT)
    macs = [f"02:00:00:00:77:1{n}" for n in range(3)]
    with Agent.unix(g.path) as other:
        streams = [(at, ask_for(at, mac, [f"10.1.{n}.2/24"], name=f"eth{n}"))
                   for n, (at, mac) in enumerate(zip((g.agent, g.agent, other), macs))]
        expect_equal(g.check(), 1, "other calls go on, on the same connection too")
        for n, mac in enumerate(macs):
            s.veth(f"late{n}", mac=mac, up=False)
        for at, stream in streams:
            at.receive(stream)
    for n in range(3):
        expect_equal(g.addresses(f"eth{n}"), [f"10.1.{n}.2/24"], "addresses")


@case
def later_call_takes_the_place_of_one_that_waits(s):
    """What was asked last of a link is what holds, also when it was asked on another connection, or to take it back."""
    g = Guest(s, *PATIENT)
    mac, gone, ready = (f"02:00:00:00:77:2{n}" for n in range(3))
    superseded = ask_for(g.agent, mac, ["10.1.0.2/24"])
    removed = ask_for(g.agent, gone, ["10.2.0.2/24"])
    refused(ttrpc.INVALID_ARGUMENT, "", g.update_interface, hwAddr=mac, addresses=["10.1.0.300/24"])
    expect(superseded not in g.agent.early, "what is refused takes no place")
    with Agent.unix(g.path) as other:
        last = ask_for(other, mac, ["10.1.0.3/24"])
        refused(ABORTED, "a later call", g.agent.receive, superseded)
        other.remove_interface(hwAddr=gone)
        refused(ABORTED, "a later call", g.agent.receive, removed)
        with stopped(g):
            s.veth("late", mac=mac, up=False)
            s.veth("gone", mac=gone, up=False)
            s.veth("ready", mac=ready, up=False)
        other.receive(last)
        other.update_interface(hwAddr=ready, addresses=["10.3.0.2/24"])
    expect_equal([g.addresses(name) for name in ("late", "gone", "ready")], [["10.1.0.3/24"], [], ["10.3.0.2/24"]],
                 "addresses")
    expect("UP" not in g.link("gone")["flags"], "what was taken back is up")


@case
def waiting_calls_are_carried_out_as_they_were_asked(s):
    g = Guest(s, *PATIENT)
    first, older, newer = (f"02:00:00:00:77:3{n}" for n in range(3))
    ask_for(g.agent, first, [])
    older_stream = ask_for(g.agent, older, [], name="eth7")
    g.remove_interface(hwAddr=first)  # whose place is free now, before that of the older one
    newer_stream = ask_for(g.agent, newer, [], name="eth7")
    expect_equal(g.check(), 1, "all of it was read")
    with stopped(g):
        s.veth("late1", mac=newer, up=False)
        s.veth("late2", mac=older, up=False)
    for stream in (older_stream, newer_stream):
        g.agent.receive(stream)
    expect_equal(g.link("eth7")["address"], newer, "who has the name that was asked for last")


@case
def call_that_its_client_gave_up_is_not_carried_out(s):
    g = Guest(s, *PATIENT)
    mac = "02:00:00:00:77:04"
    refused(ttrpc.INTERNAL, "Link not found", g.agent.receive,
            ask_for(g.agent, mac, ["10.1.0.2/24"], timeout_nsec=100 * 1000 * 1000))
    stream = ask_for(g.agent, mac, ["10.1.0.2/24"], timeout_nsec=500 * 1000 * 1000)
    expect_equal(g.check(), 1, "it waits")
    with stopped(g):
        s.veth("late", mac=mac, up=False)
        time.sleep(0.6)  # its time is over, and its link is there
    refused(ttrpc.INTERNAL, "Link not found", g.agent.receive, stream)
    expect_equal(g.addresses("late"), [], "addresses")


@case
def link_that_never_comes_is_an_error(s):
    g = Guest(s, "--hotplug-timeout", "100")
    began = time.monotonic()
    refused(ttrpc.INTERNAL, "Link not found (Address: 02:00:00:00:77:02)", g.update_interface, hwAddr="02:00:00:00:77:02")
    expect(time.monotonic() - began >= 0.1, "it was not waited for")


@case
def waiting_call_of_a_closed_connection_is_forgotten(s):
    g = Guest(s, *PATIENT)
    other = Agent.unix(g.path)
    ask_for(other, "02:00:00:00:77:03", ["10.1.0.2/24"])
    expect_equal(other.check(), 1, "it waits")
    other.close()
    wait(lambda: "closed it" in g.run.stderr(), "the end is seen")
    s.veth("late", mac="02:00:00:00:77:03", up=False)
    expect_equal(g.check(), 1, "alive")
    expect_equal(g.addresses("late"), [], "addresses")


@case
def routes_are_added_only(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    # The gateway's own route stands last: what has no gateway goes first.
    g.update_routes(route("", gateway="10.7.0.1", device="eth0"), route("10.7.0.1/32", device="eth0", scope=253))
    answer = g.update_routes(route("", gateway="2001:db8::1", device="eth0"),
                             route("10.8.0.0/16", gateway="10.1.0.1", source="10.1.0.2", mtu=1300))
    expect_equal([r["gateway"] for r in answer], ["2001:db8::1", "10.1.0.1"], "it answers with what was asked for")
    expect_equal(g.own_routes(), {"default": "2001:db8::1", "10.7.0.1": "eth0", "10.8.0.0/16": "10.1.0.1"},
                 "routes")
    seen = ip_json(s.pod, "-d", "route", "show", "10.8.0.0/16")[0]
    expect_equal((seen["prefsrc"], seen["metrics"][0]["mtu"]), ("10.1.0.2", 1300), "source and MTU")
    expect_equal(ip_json(s.pod, "route", "show", "default")[0]["gateway"], "10.7.0.1", "IPv4 default")


@case
def routes_are_replaced_in_place(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    for last in ("1", "9"):
        g.update_routes(route("10.8.0.0/16", gateway=f"10.1.0.{last}", device="eth0"),
                        route("2001:db8:8::/48", gateway=f"2001:db8::{last}", device="eth0"))
    expect_equal(g.own_routes(), {"10.8.0.0/16": "10.1.0.9", "2001:db8:8::/48": "2001:db8::9"}, "one each")
    g.update_routes(route("2001:db8:8::/48", device="eth0"), route("10.8.0.0/16", device="eth0", scope=253))
    expect_equal(g.own_routes(), {"10.8.0.0/16": "eth0", "2001:db8:8::/48": "eth0"}, "without a gateway")
    g.remove_routes(route("10.8.0.0/16", gateway="10.1.0.9", device="eth0"))
    expect("10.8.0.0/16" in g.own_routes(), "another value of that destination is not this one")


@case
def foreign_routes_stay(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    s.pod_ip("route add default via 10.1.0.1 proto dhcp", "route add ::/0 via 2001:db8::1 proto bgp",
             "route add 10.50.0.0/16 via 10.1.0.1 proto bgp metric 20")
    before = g.routes()
    for dest, gateway in (("", "10.1.0.9"), ("", "2001:db8::9")):
        refused(ttrpc.INTERNAL, "not ours", g.update_routes, route(dest, gateway=gateway, device="eth0"))
        g.remove_routes(route(dest, gateway=gateway, device="eth0"))
    expect_equal(g.routes(), before, "foreign routes")
    g.update_routes(route("", gateway="10.1.0.1", device="eth0"))
    g.remove_routes(route("", gateway="10.1.0.1", device="eth0"))
    expect_equal(g.routes(), before, "an equal one is not taken over")
    g.update_routes(route("10.50.0.0/16", gateway="10.1.0.7", device="eth0"))
    expect_equal(len(ip_json(s.pod, "route", "show", "10.50.0.0/16")), 2, "another metric is not in the way")
    g.remove_routes(route("10.50.0.0/16", gateway="10.1.0.7", device="eth0"), route("10.51.0.0/16"))
    expect_equal(g.routes(), before, "ours is gone, theirs is there, what never was is no error")


@case
def foreign_routes_of_other_types_stay(s):
    """NLM_F_REPLACE takes a blackhole for a route: BIRD has one for each block of addresses."""
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    types = ("blackhole", "unreachable", "prohibit", "throw")
    s.pod_ip(*(f"route add {kind} 10.50.{n}.0/24 proto bird" for n, kind in enumerate(types)),
             *(f"route add {kind} 2001:db8:{n + 1}::/48 metric 1024 proto bird" for n, kind in enumerate(types)))

    def seen():
        return [ip_json(s.pod, family, "route", "show", "proto", "bird") for family in ("-4", "-6")]

    before = seen()
    for n in range(len(types)):
        for asked in (route(f"10.50.{n}.0/24", gateway="10.1.0.1"), route(f"2001:db8:{n + 1}::/48", gateway="2001:db8::1")):
            refused(ttrpc.INTERNAL, "not ours", g.update_routes, asked)
            g.remove_routes(asked)
    expect_equal(seen(), before, "foreign routes")
    expect(not any("50" in r["dest"] for r in g.list_routes()), "what the messages have no word for is not listed")


@case
def foreign_route_that_differs_in_anything_is_an_error(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24"])
    s.pod_ip("route add 10.8.0.0/16 via 10.1.0.1 proto dhcp mtu 1300", "route add 10.9.0.0/16 tos 8 via 10.1.0.1 proto bgp")
    for fields in ({}, {"mtu": 1400}, {"mtu": 1300, "source": "10.1.0.2"}):
        refused(ttrpc.INTERNAL, "not ours", g.update_routes, route("10.8.0.0/16", gateway="10.1.0.1", **fields))
    g.update_routes(route("10.8.0.0/16", gateway="10.1.0.1", mtu=1300), route("10.9.0.0/16", gateway="10.1.0.7"))
    expect_equal(g.own_routes(), {"10.9.0.0/16": "10.1.0.7"}, "another type of service is another route")


@case
def host_bits_of_a_destination_are_no_other_route(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    s.pod_ip("route add 2001:db8:8::/48 via 2001:db8::1 proto bgp")
    refused(ttrpc.INTERNAL, "2001:db8:8::1/48", g.update_routes, route("2001:db8:8::1/48", gateway="2001:db8::9"))
    refused(ttrpc.INTERNAL, "10.8.0.1/16", g.update_routes, route("10.8.0.1/16", gateway="10.1.0.1"))
    expect_equal(g.routes(), {"2001:db8:8::/48": "2001:db8::1"}, "foreign route")
    g.update_routes(route("2001:db8:9::1/48"))
    g.remove_routes(route("2001:db8:9::2/48"))
    expect_equal(g.own_routes(), {}, "ours is found by it too")


@case
def own_routes_that_others_appended_to_are_done(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    ours = [route("10.8.0.0/16", gateway="10.1.0.1"), route("2001:db8:8::/48", gateway="2001:db8::1")]
    g.update_routes(*ours)
    s.pod_ip("route append 10.8.0.0/16 via 10.1.0.9 proto bgp", "route append 2001:db8:8::/48 via 2001:db8::9 dev eth0 proto bgp")
    before = [run("ip", "-n", s.pod, family, "route", "show") for family in ("-4", "-6")]
    g.update_routes(*ours)
    refused(ttrpc.INTERNAL, "not ours", g.update_routes, route("10.8.0.0/16", gateway="10.1.0.7"))
    refused(ttrpc.INTERNAL, "not ours", g.update_routes, route("2001:db8:8::/48", gateway="2001:db8::7"))
    expect_equal([run("ip", "-n", s.pod, family, "route", "show") for family in ("-4", "-6")], before, "nothing changed")
    expect_equal(sorted(r["gateway"] for r in g.list_network()["routes"]["Routes"]), ["10.1.0.1", "2001:db8::1"], "ours")
    g.remove_routes(*ours)
    expect_equal(g.routes(), {"10.8.0.0/16": "10.1.0.9", "2001:db8:8::/48": "2001:db8::9"}, "theirs")


@case
def last_of_equal_destinations_counts(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    for _ in range(2):
        g.update_routes(route("10.8.0.0/16", gateway="10.1.0.9"), route("2001:db8:8::/48", gateway="2001:db8::9"),
                        route("10.8.0.0/16", gateway="10.1.0.1"), route("2001:db8:8::5/48", gateway="2001:db8::1"))
        expect_equal(g.own_routes(), {"10.8.0.0/16": "10.1.0.1", "2001:db8:8::/48": "2001:db8::1"}, "routes")


@case
def removal_without_a_gateway_means_none(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    g.update_routes(route("10.8.0.0/16", gateway="10.1.0.1"), route("2001:db8:8::/48", gateway="2001:db8::1"),
                    route("10.9.0.0/16", scope=253), route("2001:db8:9::/48"))
    g.remove_routes(*(route(dest) for dest in ("10.8.0.0/16", "2001:db8:8::/48", "10.9.0.0/16", "2001:db8:9::/48")))
    expect_equal(g.own_routes(), {"10.8.0.0/16": "10.1.0.1", "2001:db8:8::/48": "2001:db8::1"}, "those with one stay")


@case
def routes_of_a_renamed_link_are_withdrawn(s):
    mac = s.veth("eth0")
    s.veth("eth1", "addr add 10.2.0.2/24 dev {}")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24"])
    ours = [route("10.8.0.0/16", gateway="10.1.0.1"), route("10.9.0.0/16", scope=253)]
    g.update_routes(*ours, route("10.7.0.0/16", gateway="10.2.0.1", device="eth1"))
    s.pod_ip("link set eth0 down", "link set eth0 name ens3", "link set ens3 up",
             "route add 10.8.0.0/16 via 10.1.0.1 proto 157", "route add 10.9.0.0/16 dev ens3 proto 157",
             "route add 10.6.0.0/16 via 10.1.0.1 proto bgp")
    g.remove_routes(route("10.7.0.0/16", gateway="10.1.0.1"), route("10.6.0.0/16", gateway="10.1.0.1"), *ours)
    expect_equal(g.routes(), {"10.7.0.0/16": "10.2.0.1", "10.6.0.0/16": "10.1.0.1"}, "of another gateway, of others")


@case
def one_bad_route_holds_up_nobody(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24"])
    refused(ttrpc.INTERNAL, "10.8.0.0/16 via 10.99.0.1", g.update_routes, route("10.7.0.0/16", gateway="10.1.0.1"),
            route("10.8.0.0/16", gateway="10.99.0.1"), route("10.9.0.0/16", gateway="10.1.0.1"))
    expect_equal(sorted(g.own_routes()), ["10.7.0.0/16", "10.9.0.0/16"], "the others")
    refused(ttrpc.INTERNAL, "Link not found", g.update_routes, route("10.8.0.0/16", device="eth9"))


@case
def ten_thousand_routes(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24"])
    routes = [route(f"16.{n >> 8}.{n & 255}.0/24", gateway="10.1.0.1", device="eth0") for n in range(10000)]
    began = time.monotonic()
    expect_equal(len(g.update_routes(*routes)), 10000, "answered")
    print(f"# 10,000 routes in {(time.monotonic() - began) * 1000:.0f} ms, of which much is this client's")
    expect_equal(len(g.own_routes()), 10000, "in the kernel")
    expect_equal(len(g.list_network()["routes"]["Routes"]), 10000, "in the list")
    g.restart(signal.SIGKILL)
    g.remove_routes(*routes)
    expect_equal(g.own_routes(), {}, "withdrawn by the next life of the agent")


@case
def more_foreign_routes_than_ours_may_be(s):
    """A router's table in the guest is nothing that its host asks about."""
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24"])
    s.pod_ip(*(f"route add {20 + (n >> 16)}.{n >> 8 & 255}.{n & 255}.0/24 via 10.1.0.1 proto bgp" for n in range(100001)))
    g.update_routes(route("10.8.0.0/16", gateway="10.1.0.1"), route("10.9.0.0/16", gateway="10.1.0.1"))
    expect_equal(len(g.list_network()["routes"]["Routes"]), 2, "ours")
    g.remove_routes(route("10.9.0.0/16", gateway="10.1.0.1"))
    expect_equal(g.own_routes(), {"10.8.0.0/16": "10.1.0.1"}, "ours")
    refused(ttrpc.INTERNAL, "not ours", g.update_routes, route("20.0.1.0/24", gateway="10.1.0.9"))
    g.remove_interface(hwAddr=mac)
    expect_equal(g.addresses("eth0"), [], "addresses")


@case
def more_routes_than_an_answer_holds(s):
    """What is too long to be listed can still be added to."""
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["2001:db8::2/64"])
    gateway = "2001:db8::1111:2222:3333:4444"
    for first in range(0, 75000, 15000):
        routes = [route(f"2001:db8:{n >> 16:x}:{n & 65535:x}::/64", gateway=gateway) for n in range(1 << 16, (1 << 16) + 75000)]
        g.update_routes(*routes[first:first + 15000])
    g.update_routes(route("2001:db8:ffff::/48", gateway="2001:db8::7"))
    refused(ttrpc.RESOURCE_EXHAUSTED, "", g.list_network)


@case
def neighbours_come_and_go(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    s.pod_ip("neigh add 10.1.0.66 lladdr 02:00:00:00:00:66 dev eth0 nud permanent")
    ours = [neighbor_value("10.1.0.1", "eth0", "02:00:00:00:00:01", state=128),
            neighbor_value("2001:db8::1", "eth0", "02:00:00:00:00:01")]
    for _ in range(3):
        g.add_neighbors(*ours)
        expect_equal(len(g.neighbours("eth0")), 3, "added")
        g.remove_neighbors(*ours)
        expect_equal(g.neighbours("eth0"), {"10.1.0.66": "02:00:00:00:00:66"}, "removed")
    foreign = neighbor_value("10.1.0.66", "eth0", "02:00:00:00:00:67")
    refused(ttrpc.INTERNAL, "not ours", g.add_neighbors, foreign)
    g.remove_neighbors(foreign)
    expect_equal(g.neighbours("eth0"), {"10.1.0.66": "02:00:00:00:00:66"}, "the foreign one stays")
    g.add_neighbors(*ours)
    g.add_neighbors(neighbor_value("10.1.0.1", "eth0", "02:00:00:00:00:02"))
    expect_equal(g.neighbours("eth0")["10.1.0.1"], "02:00:00:00:00:02", "ours is changed")
    g.restart(signal.SIGKILL)
    g.remove_neighbors(*ours)
    expect_equal(list(g.neighbours("eth0")), ["10.1.0.66"], "known after a kill")


@case
def learnt_neighbour_in_the_place_of_ours_is_not_ours(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, addresses=["10.1.0.2/24"])
    ours = [neighbor_value("10.1.0.1", "eth0", "02:00:00:00:00:01"),
            neighbor_value("10.1.0.3", "eth0", "02:00:00:00:00:03", state=0x02)]
    g.add_neighbors(*ours)
    s.pod_ip("neigh del 10.1.0.1 dev eth0", "neigh add 10.1.0.1 dev eth0 lladdr 02:00:00:00:00:55 nud reachable")
    expect_equal([n["toIPAddress"]["address"] for n in g.list_network()["neighbors"]["ARPNeighbors"]], ["10.1.0.3"],
                 "one that was asked for in a state that ages is ours in any")
    g.remove_neighbors(*ours)
    seen = {n["dst"]: n.get("lladdr") for n in ip_json(s.pod, "neigh", "show", "dev", "eth0") if "FAILED" not in n["state"]}
    expect_equal(seen, {"10.1.0.1": "02:00:00:00:00:55"}, "what the kernel has learnt stays")


@case
def neighbours_set_by_others_stay(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, addresses=["10.1.0.2/24"])
    s.pod_ip("neigh add 10.1.0.7 dev eth0 lladdr 02:00:00:00:00:77 nud noarp",
             "neigh add 10.1.0.8 dev eth0 lladdr 02:00:00:00:00:88 nud reachable extern_learn")

    def seen():
        return {n["dst"]: n["lladdr"] for n in ip_json(s.pod, "neigh", "show", "dev", "eth0", "nud", "all")
                if n["dst"].startswith("10.")}

    before = seen()
    for ip, foreign in before.items():
        refused(ttrpc.INTERNAL, "not ours", g.add_neighbors, neighbor_value(ip, "eth0", "02:00:00:00:00:99"))
        g.add_neighbors(neighbor_value(ip, "eth0", foreign))
        g.remove_neighbors(neighbor_value(ip, "eth0", foreign))
    expect_equal(seen(), before, "theirs")


@case
def neighbour_that_a_noarp_link_has_by_itself_is_taken_over(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, raw_flags=0x80, addresses=["10.1.0.2/24"])
    with inside(s.pod), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", ("10.1.0.1", 9))
    made = ip_json(s.pod, "neigh", "show", "10.1.0.1", "dev", "eth0", "nud", "all")
    expect_equal([n["state"] for n in made], [["NOARP"]], "the kernel made one")
    g.add_neighbors(neighbor_value("10.1.0.1", "eth0", "02:00:00:00:00:01"))
    expect_equal(g.neighbours("eth0"), {"10.1.0.1": "02:00:00:00:00:01"}, "ours")


@case
def neighbours_of_a_renamed_device_are_removed(s):
    mac, other = s.veth("eth0"), s.veth("eth1")
    g = Guest(s)
    for name, address in (("eth0", mac), ("eth1", other)):
        g.update_interface(hwAddr=address, addresses=["10.1.0.2/24"] if name == "eth0" else [])
        g.add_neighbors(neighbor_value("10.1.0.1", name, "02:00:00:00:00:01"),
                        neighbor_value("10.1.0.9", name, "02:00:00:00:00:09"))
    s.pod_ip("link set eth0 name ens3")
    g.remove_neighbors(neighbor_value("10.1.0.1", "eth0", "02:00:00:00:00:01"),
                       neighbor_value("10.1.0.9", "eth1", "02:00:00:00:00:09"))
    expect_equal([list(g.neighbours(name)) for name in ("ens3", "eth1")], [["10.1.0.9"], ["10.1.0.1"]],
                 "what is left: a device that is named and there is not meant by another name")


@case
def interface_is_taken_back(s):
    mac = s.veth("eth0", "addr add 192.0.2.1/24 dev {}")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24", "2001:db8::2/64"])
    g.update_routes(route("10.8.0.0/16", gateway="10.1.0.1"))
    g.add_neighbors(neighbor_value("10.1.0.1", "eth0", "02:00:00:00:00:01"))
    g.remove_interface(hwAddr=mac)
    link = g.link("eth0")
    expect("UP" not in link["flags"], "it is up")
    expect_equal((g.addresses("eth0"), g.own_routes(), g.neighbours("eth0")), (["192.0.2.1/24"], {}, {}), "what is left")
    g.remove_interface(hwAddr="02:00:00:00:77:09")


@case
def lists_tell_the_truth(s):
    mac = s.veth("eth0", "addr add 192.0.2.1/24 dev {}")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", mtu=1400, addresses=["10.1.0.2/24", "2001:db8::2/64"])
    s.pod_ip("route add 10.5.0.0/16 via 192.0.2.9 proto bgp")
    g.update_routes(route("10.8.0.0/16", gateway="10.1.0.1", device="eth0", mtu=1300),
                    route("2001:db8:8::/48", gateway="2001:db8::1", device="eth0"))
    g.add_neighbors(neighbor_value("10.1.0.1", "eth0", "02:00:00:00:00:01"))
    (link,) = g.list_interfaces()
    expect_equal((link["name"], link["hwAddr"], link["mtu"], link["type"]), ("eth0", mac, 1400, "veth"), "interface")
    addresses = {(a["family"], a["address"], a["mask"]) for a in link["IPAddresses"]}
    expect({(0, "10.1.0.2", "24"), (0, "192.0.2.1", "24"), (1, "2001:db8::2", "64")} <= addresses, str(addresses))
    routes = {r["dest"]: (r["gateway"], r["device"], r["family"], r["mtu"]) for r in g.list_routes()}
    for dest, wanted in {"10.8.0.0/16": ("10.1.0.1", "eth0", 0, 1300), "2001:db8:8::/48": ("2001:db8::1", "eth0", 1, 0),
                         "10.5.0.0/16": ("192.0.2.9", "eth0", 0, 0)}.items():
        expect_equal(routes.get(dest), wanted, dest)
    network = g.list_network()
    expect_equal(sorted(a["address"] for a in network["interfaces"]["Interfaces"][0]["IPAddresses"]),
                 ["10.1.0.2", "2001:db8::2"], "our addresses")
    expect_equal(sorted(r["dest"] for r in network["routes"]["Routes"]), ["10.8.0.0/16", "2001:db8:8::/48"], "our routes")
    expect_equal([n["lladdr"] for n in network["neighbors"]["ARPNeighbors"]], ["02:00:00:00:00:01"], "our neighbours")
    s.pod_ip("addr del 10.1.0.2/24 dev eth0")
    expect_equal([a["address"] for a in g.list_network()["interfaces"]["Interfaces"][0]["IPAddresses"]],
                 ["2001:db8::2"], "what somebody took away is not said to be there")


@case
def broken_journal_is_set_aside(s):
    mac = s.veth("eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24"])
    with open(s.path("state/owned"), "r+b") as file:
        file.seek(-3, os.SEEK_END)
        file.truncate()
    g.restart()
    expect_equal(g.run.stderr().count("set aside"), 1, "said once")
    expect(os.path.exists(s.path("state/owned.broken")), "it is kept")
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.3/24"])
    expect_equal(g.addresses("eth0"), ["10.1.0.2/24", "10.1.0.3/24"], "what is not known to be ours stays")


@case
def journal_that_is_a_link_is_set_aside(s):
    g = Guest(s)
    os.symlink(s.path("victim"), s.path("state/owned"))
    g.restart()
    expect_equal(g.run.stderr().count("set aside"), 1, "said once")
    g.update_interface(hwAddr=s.veth("eth0"), addresses=["10.1.0.2/24"])
    expect(os.path.islink(s.path("state/owned.broken")) and not os.path.exists(s.path("victim")), "it was followed")


@case
def two_agents_do_not_share_a_journal(s):
    g = Guest(s)
    second = subprocess.run([AGENT, "--listen", "unix://" + s.path("second.sock"), "--state-dir", s.path("state")],
                            capture_output=True, text=True, timeout=20)
    expect(second.returncode == 1 and "another netmon-agent uses" in second.stderr, str(second))
    g.restart(signal.SIGKILL)
    expect_equal(g.check(), 1, "the lock goes with who had it")


@case
def full_disk_makes_nothing_ours_and_hinders_no_removal(s):
    mac = s.veth("eth0")
    s.tmpfs("state", "16k")
    g = Guest(s)
    ours = neighbor_value("10.1.0.1", "eth0", "02:00:00:00:00:01")
    g.update_interface(hwAddr=mac, addresses=["10.1.0.2/24"])
    g.add_neighbors(ours)
    try:
        with open(s.path("state/fill"), "wb", 0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass
    refused(ttrpc.INTERNAL, "No space left", g.update_interface, hwAddr=mac, addresses=["10.1.0.2/24", "10.1.0.3/24"])
    refused(ttrpc.INTERNAL, "No space left", g.add_neighbors, neighbor_value("10.1.0.4", "eth0", "02:00:00:00:00:04"))
    g.remove_neighbors(ours)
    expect_equal((g.addresses("eth0"), g.neighbours("eth0")), (["10.1.0.2/24"], {}), "nothing new, and ours is taken back")
    s.pod_ip("addr add 10.1.0.3/24 dev eth0", "neigh add 10.1.0.4 lladdr 02:00:00:00:00:44 dev eth0 nud permanent")
    g.remove_interface(hwAddr=mac)
    expect_equal(g.addresses("eth0"), ["10.1.0.3/24"], "ours is taken back, theirs stays")
    expect_equal(g.run.stderr().count("still names what is gone"), 1, "said once")
    os.unlink(s.path("state/fill"))
    s.pod_ip("link set eth0 up", "neigh add 10.1.0.4 lladdr 02:00:00:00:00:44 dev eth0 nud permanent")
    g.update_interface(hwAddr=mac, addresses=[])
    g.remove_neighbors(neighbor_value("10.1.0.4", "eth0", "02:00:00:00:00:04"))
    expect_equal((g.addresses("eth0"), list(g.neighbours("eth0"))), (["10.1.0.3/24"], ["10.1.0.4"]), "theirs stays")
    with open(s.path("state/owned")) as file:
        expect_equal(file.read().splitlines()[1:], ["end 0"], "the journal is right again")


@case
def nothing_is_lost_while_addresses_change(s):
    """A ping every 2 ms through 50 changes: each is answered."""
    mac = s.veth("eth0")
    s.peers_ip("addr add 10.1.0.1/24 dev p-eth0")
    g = Guest(s)
    g.update_interface(hwAddr=mac, name="eth0", addresses=["10.1.0.2/24"])
    g.update_routes(route("10.8.0.0/16", gateway="10.1.0.1"))
    with inside(s.peers):
        run("ping", "-c1", "-W10", "10.1.0.2")
        ping = subprocess.Popen(["ping", "-i0.002", "-W2", "-q", "10.1.0.2"], stdout=subprocess.PIPE, text=True)
    s.children.append(ping)
    for n in range(50):
        g.update_interface(hwAddr=mac, name="eth0", mtu=1400 + n, addresses=["10.1.0.2/24", f"10.1.1.{n}/24", f"2001:db8::{n}/64"])
        g.update_routes(route(f"10.9.{n}.0/24", gateway="10.1.0.1"))
    ping.send_signal(signal.SIGINT)
    report = ping.communicate(timeout=20)[0]
    # The last one may be under way when ping is ended.
    sent, received = (int(report.split(word)[0].split()[-1]) for word in (" packets transmitted", " received"))
    expect(sent > 5 and sent - received <= 1, report)
    expect_equal(g.own_routes()["10.8.0.0/16"], "10.1.0.1", "its first route")


@case
def bad_requests_are_refused(s):
    mac = s.veth("eth0")
    g = Guest(s)
    for method in ("UpdateInterface", "UpdateRoutes", "AddARPNeighbors"):
        refused(ttrpc.INVALID_ARGUMENT, "", g.call, ttrpc.AGENT, method, b"")
        refused(ttrpc.INVALID_ARGUMENT, "", g.call, ttrpc.AGENT, method, b"\x0a\xff\xff")
    refused(ttrpc.INVALID_ARGUMENT, "", g.update_interface, hwAddr="")
    refused(ttrpc.INVALID_ARGUMENT, "", g.update_interface, hwAddr=mac, addresses=["10.1.0.300/24"])
    refused(ttrpc.INVALID_ARGUMENT, "", g.update_routes, route("10.0.0.0/33"))
    refused(ttrpc.UNIMPLEMENTED, "", g.call, ttrpc.AGENT, "GetIPTables", b"")
    refused(ttrpc.UNIMPLEMENTED, "", g.call, ttrpc.AGENT, "ExecProcess", b"")
    refused(ttrpc.UNIMPLEMENTED, "", g.call, "grpc.Nobody", "Check", b"")
    expect_equal(g.addresses("eth0"), [], "nothing was done")


@case
def strangers_cost_themselves_only(s):
    """Garbage, half frames, one who does not read, and more connections than there is room for."""
    rng = seed()
    g = Guest(s)
    for size in (1, 9, 10, 100, 5000):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(g.path)
            sock.sendall(rng.randbytes(size))
    deaf = Agent.unix(g.path)
    deaf.sock.settimeout(0.2)
    try:
        for _ in range(100000):
            deaf.send(ttrpc.AGENT, "ListInterfaces", b"")
    except TimeoutError:
        pass
    expect_equal(g.check(), 1, "others are served")
    idle = [Agent.unix(g.path) for _ in range(18)]
    expect_equal(g.check(), 1, "others are served")
    for sock in idle + [deaf]:
        sock.close()
    with Agent.unix(g.path) as agent:
        expect_equal(agent.check(), 1, "there is room again")
    expect(is_sanitized(AGENT) or g.run.memory_kib("VmRSS") < 32 << 10, "memory")


@case
def silent_connections_keep_nobody_out(s):
    """They go before those that were ever served, and who waits for a link goes for nobody."""
    g = Guest(s, *PATIENT)
    expect_equal(g.check(), 1, "the first")
    waits = Agent.unix(g.path)
    stream = ask_for(waits, "02:00:00:00:77:05", [])
    silent = [Agent.unix(g.path) for _ in range(40)]
    for _ in range(3):
        with Agent.unix(g.path) as agent:
            expect_equal(agent.check(), 1, "a new one is served")
    expect_equal(g.check(), 1, "the first is served still")
    busy = []
    for _ in range(40):
        busy.append(Agent.unix(g.path))
        expect_equal(busy[-1].check(), 1, "one more is served")
    s.veth("late", mac="02:00:00:00:77:05", up=False)
    waits.receive(stream)
    expect_equal(g.run.stderr().count("is closed for a new one"), 1, "said once a minute")
    for agent in [waits, *silent, *busy]:
        agent.close()


@case
def socket_of_somebody_else_stays(s):
    g = Guest(s)
    second = subprocess.run([AGENT, "--listen", f"unix://{g.path}", "--state-dir", s.path("second")],
                            capture_output=True, text=True, timeout=20)
    expect(second.returncode == 1 and "where somebody does already" in second.stderr, str(second))
    with Agent.unix(g.path) as agent:
        expect_equal(agent.check(), 1, "the first is found as before")
    os.unlink(g.path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(g.path)
        other.listen()
        expect_equal(g.run.term()[0], 0, "exit status")
        expect(os.path.exists(g.path), "another's socket was removed")
    g.start()  # nobody listens on that one any more
    expect_equal(g.run.term()[0], 0, "exit status")
    expect(not os.path.exists(g.path), "its own is left")


@case
def socket_of_one_who_is_busy_stays(s):
    """Nobody accepts there now, and there is no room to wait in: that is no socket of nobody."""
    g = Guest(s)
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped(g))
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):
                sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                sock.connect(g.path)
        second = subprocess.run([AGENT, "--listen", f"unix://{g.path}", "--state-dir", s.path("second")],
                                capture_output=True, text=True, timeout=20)
    expect(second.returncode == 1 and "where somebody does already" in second.stderr, str(second))
    expect_equal(g.check(), 1, "the first is served still")


@case
def pipe_begins_anew_with_each_hello(s):
    """A terminal stands for the virtio-serial port: bytes both ways, and nothing that says who came."""
    master, slave = os.openpty()
    run("stty", "-F", os.ttyname(slave), "raw", "-echo")
    g = Guest(s, "--listen", "pipe://" + os.ttyname(slave))
    rng = seed()

    def read(size):
        data = b""
        while len(data) < size:
            expect(select.select([master], [], [], 20)[0], f"nothing comes after {data}")
            data += os.read(master, size - len(data))
        return data

    def hello():
        known = bytes(rng.randrange(255) for _ in range(8))  # never the first of the fixed ones
        os.write(master, PIPE_HELLO + known)
        wanted, seen = PIPE_HELLO[::-1] + known, b""
        while not seen.endswith(wanted):
            seen += read(1)

    def check():
        body = ttrpc.encode(ttrpc.FRAME_REQUEST, {"service": ttrpc.HEALTH, "method": "Check"})
        os.write(master, struct.pack(">IIBB", len(body), 1, 1, 0) + body)
        return read(struct.unpack(">I", read(10)[:4])[0])

    for _ in range(3):
        hello()
        expect(check().endswith(b"\x08\x01"), "SERVING")
        os.write(master, b"\x00\x00\x00\x50half a frame")
    expect_equal(g.check(), 1, "the socket beside it")
    os.close(slave)


def start_init(s, *options):
    """Process 1 of a namespace of its own, whose power-off is no more than that namespace's end."""
    os.makedirs(s.path("root"), exist_ok=True)
    argv = ["unshare", "--pid", "--fork", "--mount", "--net", "--kill-child", AGENT, "--state-dir", s.path("state"), *options]
    return Monitor(s, argv)


def child_of(init):
    (pid,) = run("pgrep", "-P", str(init.pid)).split()
    return int(pid)


@case
def it_can_be_an_init(s):
    """Process 1 reaps, has a loopback, and its power-off is the namespace's end."""
    path = s.path("init.sock")
    init = start_init(s, "--listen", f"unix://{path}")
    with wait(lambda: connected(path) or not init.is_alive(), "it serves") as agent:
        expect_equal(agent.details()["init_daemon"], 1, "it says so")
    links = run("nsenter", "-t", str(child_of(init)), "-n", "ip", "-br", "link", "show", "lo")
    expect("UP" in links, links)
    os.kill(child_of(init), signal.SIGUSR2)
    wait(lambda: not init.is_alive(), "the power is off")


@case
def init_never_just_ends(s):
    """The kernel gives it words that are for others, and panics when it exits."""
    path = s.path("init.sock")
    init = start_init(s, "-xy", "--nonsense", "word\033", "--listen", f"unix://{path}", "--no=thing")
    with wait(lambda: connected(path) or not init.is_alive(), "it serves") as agent:
        expect_equal(agent.check(), 1, "SERVING")
    for word in ("-x", "-y", "--nonsense", '"word\\x1b"', '"--no=thing"'):
        expect(f"{word} is no option of ours" in init.stderr(), f"{word}: {init.stderr()}")
    os.kill(child_of(init), signal.SIGTERM)
    init.ended()
    for options, text in ((["--hotplug-timeout", "60001"], "not a number"), (["--listen"], "--help"), (["--version"], ""),
                          (["--listen", "unix:///nowhere/sock"], "No such"), (["--state-dir", "/proc/nowhere"], "No such")):
        init = start_init(s, *options)
        status = init.ended()
        # reboot(2) of a namespace's init ends it by SIGINT, and unshare(1) by the same.
        expect(status in (-signal.SIGINT, 128 + signal.SIGINT), f"{options}: it has ended with {status}")
        expect(text in init.stderr(), f"{options}: {init.stderr()}")


if __name__ == "__main__":
    main()
