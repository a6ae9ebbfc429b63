# SPDX-License-Identifier: Apache-2.0
"""netmonctl against an agent that checks what it is told: kata-network as of 1.x, and the agent's own commands."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

from fake_agent import (INTERNAL, INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, FakeAgent, Shim)
from harness import Failure, case, command_of, expect, expect_equal, main, processes, wait

CTL = os.path.abspath(os.environ.get("NETMON_CTL", "build/runtime-bridge/ctl/netmonctl"))
MAC = "02:42:ac:11:00:03"

# As the original kata-netmon 1.13 and 1.12 write them.
ETH1 = {"Device": "eth1", "Name": "eth1", "IPAddresses": [
    {"Family": 2, "Address": "10.1.0.2", "Mask": "24"}, {"Family": 10, "Address": "2001:db8::2", "Mask": "64"}],
    "Mtu": 1400, "RawFlags": 0, "HwAddr": MAC, "PciPath": {}, "LinkType": "veth"}
ETH1_1_12 = {**{key: value for key, value in ETH1.items() if key != "PciPath"}, "PciAddr": ""}
DEFAULT = {"Dest": "", "Gateway": "10.1.0.1", "Device": "eth1", "Source": "", "Scope": 0}
NET = {"Dest": "10.1.5.0/24", "Gateway": "", "Device": "eth1", "Source": "10.1.0.2", "Scope": 253}
NET6 = {"Dest": "2001:db8:5::/48", "Gateway": "2001:db8::1", "Device": "eth1", "Source": "", "Scope": 0}
ROUTES = [NET, DEFAULT, NET6]
ROUTES_AS_TOLD = {("", "10.1.0.1", "eth1"), ("10.1.5.0/24", "", "eth1"), ("2001:db8:5::/48", "2001:db8::1", "eth1")}


def ctl(s, *argv, data=None):
    """What came of one run; data: its stdin, as text or as a value."""
    if data is not None and not isinstance(data, str):
        data = json.dumps(data)
    return subprocess.run([CTL, *argv], input=data, stdin=None if data is not None else subprocess.DEVNULL,
                          capture_output=True, text=True, env=s.environment(), timeout=60)


def expect_run(result, status, out=None, err=None):
    """Its exit status; its stdout, exactly; what its stderr has in it ("" is silence)."""
    expect_equal(result.returncode, status, f"exit status; stdout {result.stdout!r}, stderr {result.stderr!r}")
    if out is not None:
        expect_equal(result.stdout, out, "stdout")
    if err == "":
        expect_equal(result.stderr, "", "stderr")
    elif err is not None:
        expect(err in result.stderr, f"stderr has no {err!r}: {result.stderr!r}")
    expect(result.stderr.count("\n") <= 1, f"more than a line on stderr: {result.stderr!r}")
    expect(not re.search(r"\((\w+)_\w+( < |\))", result.stderr), f"names of functions: {result.stderr!r}")


def agent(s, generation="declarative"):
    return FakeAgent(s.path("agent.sock"), generation)


def kata(s, a, verb, *argv, data=None):
    return ctl(s, "--agent", a.url, "kata-network", verb, "pod1", *argv, data=data)


# ---- kata-network ----


@case
def add_iface_configures_the_nic_of_that_mac(s):
    for generation in ("declarative", "additive", "delta"):
        with agent(s, generation) as a:
            a.plug(MAC, "enp1s0")
            expect_run(kata(s, a, "add-iface", "-", data=ETH1), 0, "null\n", "")
            request = a.requests("UpdateInterface")[0]["interface"]
            expect_equal((request["device"], request["name"], request["mtu"], request["hwAddr"], request["type"]),
                         ("eth1", "eth1", 1400, MAC, ""), "what the agent was told")
            expect_equal(a.addresses(MAC), ["10.1.0.2/24", "2001:db8::2/64"], f"addresses ({generation})")
            expect_equal(a.methods(), ["UpdateInterface"], "calls")


@case
def documents_of_every_1_x_are_taken(s):
    path = s.path("shared.json")
    spelled = {key.upper(): value for key, value in ETH1.items()}
    for text in (json.dumps(ETH1), json.dumps(ETH1_1_12), json.dumps(spelled), json.dumps(ETH1) + " and the rest"):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        with agent(s) as a:
            a.plug(MAC, "eth0")
            expect_run(kata(s, a, "add-iface", path), 0, "null\n", "")
            expect_equal(a.addresses(MAC), ["10.1.0.2/24", "2001:db8::2/64"], text)


@case
def a_nic_on_its_way_is_waited_for(s):
    with agent(s) as a:
        def plug():
            a.wait_call("UpdateInterface", 3)
            a.plug(MAC, "eth7")
        thread = threading.Thread(target=plug, daemon=True)
        thread.start()
        expect_run(ctl(s, "--agent", a.url, "--wait", "60", "--timeout", "60", "kata-network", "add-iface", "pod1", "-",
                       data=ETH1), 0, "null\n", "")
        thread.join()
        expect_equal(a.addresses(MAC), ["10.1.0.2/24", "2001:db8::2/64"], "addresses")
        expect_equal(a.connections, 1, "connections")


@case
def a_nic_that_does_not_come_is_an_error(s):
    with agent(s) as a:
        expect_run(ctl(s, "--agent", a.url, "--wait", "0", "kata-network", "add-iface", "pod1", "-", data=ETH1), 1, "null\n",
                   "rpc error: code = Internal desc = update interface: Link not found (Address: 02:42:AC:11:00:03)")
        expect_equal(a.methods(), ["UpdateInterface"], "it asks once")
        expect_run(ctl(s, "--agent", a.url, "--wait", "2", "kata-network", "add-iface", "pod1", "-", data=ETH1), 1, "null\n",
                   "Link not found")
        # also when the time is up, be it in a pause or in a call
        expect_run(ctl(s, "--timeout", "2", "--wait", "9", "kata-network", "--agent", a.url, "add-iface", "pod1", "-", data=ETH1), 1,
                   "null\n", "Link not found (Address: 02:42:AC:11:00:03)")
        expect(len(a.methods()) > 2, f"it asks again: {a.methods()}")


@case
def a_nic_is_asked_for_until_the_wait_ends(s):
    """The last pause is cut: it asks once more when the wait ends, and not before."""
    with agent(s) as a:
        begun = time.monotonic()
        expect_run(kata(s, a, "add-iface", "-", "--wait", "1", data=ETH1), 1, "null\n", "Link not found")
        expect(time.monotonic() - begun >= 1, f"it gave up after {time.monotonic() - begun:.3f} s")


@case
def an_agent_that_restarts_while_a_nic_is_waited_for(s):
    first = agent(s)

    def restart():
        first.wait_call("UpdateInterface", 2)
        first.close()
        second.append(agent(s))
        second[0].plug(MAC, "eth7")
    second = []
    thread = threading.Thread(target=restart, daemon=True)
    thread.start()
    expect_run(ctl(s, "--agent", first.url, "--wait", "60", "--timeout", "60", "kata-network", "add-iface", "pod1", "-",
                   data=ETH1), 0, "null\n", "")
    thread.join()
    with second[0] as a:
        expect_equal(a.addresses(MAC), ["10.1.0.2/24", "2001:db8::2/64"], "addresses")


@case
def an_agent_that_does_not_come_back_is_said(s):
    a = agent(s)

    def end():
        a.wait_call("UpdateInterface", 2)
        a.close()
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    expect_run(ctl(s, "--agent", a.url, "--wait", "4", "kata-network", "add-iface", "pod1", "-", data=ETH1), 1, "null\n",
               f"the agent {a.url} can't be reached: connect")
    thread.join()


@case
def other_refusals_are_not_tried_again(s):
    with agent(s) as a:
        a.plug(MAC, "eth0")
        for code, word in ((PERMISSION_DENIED, "PermissionDenied"), (INTERNAL, "Internal"), (UNIMPLEMENTED, "Unimplemented"),
                           (INVALID_ARGUMENT, "InvalidArgument")):
            a.fail["UpdateInterface"] = code, "so\x1b[2J \n it is"
            before = len(a.methods())
            expect_run(kata(s, a, "add-iface", "-", data=ETH1), 1, "null\n", f"rpc error: code = {word} desc = so\\x1b[2J \\x0a it is")
            expect_equal(len(a.methods()) - before, 1, "calls")


@case
def del_iface_is_told_to_ours_and_said_of_others(s):
    with agent(s, "delta") as a:
        a.plug(MAC, "eth1", "10.1.0.2/24")
        expect_run(kata(s, a, "del-iface", "-", data=ETH1), 0, "null\n", "")
        expect_equal(a.addresses(MAC), [], "addresses")
        expect(not a.links[MAC].is_up, "it is still up")
    for generation in ("declarative", "additive"):
        with agent(s, generation) as a:
            a.plug(MAC, "eth1", "10.1.0.2/24")
            expect_run(kata(s, a, "del-iface", "-", data=ETH1), 0, "null\n", "warning: interface 'eth1' stays in the guest")
            expect_equal(a.methods(), ["GetGuestDetails", "ListInterfaces"], "calls")
            # a policy that forbids to ask must not make the monitor try for ever
            a.fail = {method: (PERMISSION_DENIED, "policy") for method in ("GetGuestDetails", "Version", "ListInterfaces")}
            expect_run(kata(s, a, "del-iface", "-", data=ETH1), 0, "null\n", "warning: interface 'eth1' stays in the guest")


@case
def del_iface_of_what_is_not_there_is_success(s):
    for generation in ("declarative", "additive", "delta"):
        with agent(s, generation) as a:
            for mac in (MAC, "x", ""):
                expect_run(kata(s, a, "del-iface", "-", data={**ETH1, "HwAddr": mac}), 0, "null\n", "")


@case
def update_routes_tells_the_whole_list(s):
    for generation in ("declarative", "additive", "delta"):
        with agent(s, generation) as a:
            a.plug(MAC, "eth1")
            result = kata(s, a, "update-routes", "-", data=ROUTES)
            expect_run(result, 0)
            expect_equal(a.route_set(), ROUTES_AS_TOLD, generation)
            expect_equal(len(json.loads(result.stdout)), 3, "routes printed")
            expect(result.stdout.endswith("]\n"), "a line")
            sources = [r["source"] for r in a.routes if r["source"]]
            expect_equal(sources, ["10.1.0.2" if generation == "delta" else "10.1.0.2/0"], "source")
            expect_equal([r["family"] for r in a.requests("UpdateRoutes")[0]["routes"]["Routes"]], [0, 0, 1], "families")


@case
def an_agent_that_denies_its_details_is_known_by_its_version(s):
    with agent(s, "additive") as a:
        a.plug(MAC, "eth1")
        for code in (PERMISSION_DENIED, UNIMPLEMENTED):
            a.fail["GetGuestDetails"] = code, "policy"
            # the fake wants the Source as its generation does
            expect_run(kata(s, a, "update-routes", "-", data=ROUTES), 0, None, "its agent 4.1.0 (additive)")
        expect_equal(a.methods()[-3:], ["GetGuestDetails", "Version", "UpdateRoutes"], "calls")
    with agent(s, "declarative") as a:
        a.plug(MAC, "eth1")
        a.fail = {"GetGuestDetails": (PERMISSION_DENIED, "policy"), "Version": (PERMISSION_DENIED, "policy")}
        expect_run(kata(s, a, "update-routes", "-", data=ROUTES), 0, None, "")


@case
def what_is_not_in_the_list_goes_where_it_can(s):
    with agent(s) as a:
        a.plug(MAC, "eth1")
        kata(s, a, "update-routes", "-", data=ROUTES)
        expect_run(kata(s, a, "update-routes", "-", data=[DEFAULT]), 0, json.dumps([DEFAULT], separators=(",", ":")) + "\n", "")
        expect_equal(a.route_set(), {("", "10.1.0.1", "eth1")}, "declarative")
    with agent(s, "additive") as a:
        a.plug(MAC, "eth1")
        kata(s, a, "update-routes", "-", data=ROUTES)
        expect_run(kata(s, a, "update-routes", "-", data=[DEFAULT]), 0, None, "warning: routes that the guest has beyond this list stay")
        expect_equal(a.route_set(), ROUTES_AS_TOLD, "additive")
    with agent(s, "delta") as a:
        a.plug(MAC, "eth1")
        a.foreign = [{"family": 0, "dest": "10.77.0.0/16", "gateway": "10.1.0.77", "device": "eth1"}]  # the guest's own
        kata(s, a, "update-routes", "-", data=ROUTES)
        expect("RemoveRoutes" not in a.methods(), "nothing is removed for nothing")
        expect_run(kata(s, a, "update-routes", "-", data=[DEFAULT]), 0, json.dumps([DEFAULT], separators=(",", ":")) + "\n", "")
        expect_equal(a.route_set(), {("", "10.1.0.1", "eth1")}, "ours")


@case
def a_replaced_route_is_not_removed_after_it(s):
    with agent(s, "delta") as a:
        a.plug(MAC, "eth1")
        kata(s, a, "update-routes", "-", data=ROUTES)
        expect_run(kata(s, a, "update-routes", "-", data=[NET, NET6, {**DEFAULT, "Gateway": "10.1.0.9"}]), 0, None, "")
        expect_equal(a.route_set() - ROUTES_AS_TOLD, {("", "10.1.0.9", "eth1")}, "the new one")
        expect_equal(len(a.route_set()), 3, "routes")
        expect("RemoveRoutes" not in a.methods(), "it was replaced, not removed")


@case
def null_is_not_sent_and_an_empty_list_is(s):
    for generation in ("declarative", "delta"):
        with agent(s, generation) as a:
            a.plug(MAC, "eth1")
            kata(s, a, "update-routes", "-", data=ROUTES)
            before = len(a.methods())
            expect_run(kata(s, a, "update-routes", "-", data="null"), 0, "null\n", "")
            expect_equal(len(a.methods()), before, "calls for null")
            expect_run(kata(s, a, "update-routes", "-", data="[]"), 0, "null\n", "")
            expect_equal(a.route_set(), set(), f"routes after [] ({generation})")


@case
def ten_thousand_routes(s):
    routes = [NET] + [{**DEFAULT, "Dest": f"10.{i >> 8}.{i & 255}.0/24"} for i in range(2560, 12560)]
    with agent(s, "delta") as a:
        a.plug(MAC, "eth1")
        result = kata(s, a, "update-routes", "-", data=routes[:200])
        expect_run(result, 0)
        a.routes = [{"family": 0, "dest": r["Dest"], "gateway": r["Gateway"], "device": "eth1", "source": "", "scope": 0,
                     "flags": 0, "mtu": 0} for r in routes]
        result = ctl(s, "--agent", a.url, "--timeout", "60", "kata-network", "list-routes", "pod1")
        expect_equal(len(json.loads(result.stdout)), len(routes), "listed")
    # Of an agent that keeps them all; the fake's own way of keeping them is not quick.
    with agent(s, "declarative") as a:
        a.on_update_routes = lambda request: {"Routes": request["routes"]["Routes"]}
        result = kata(s, a, "update-routes", "-", data=routes)
        expect_equal(len(json.loads(result.stdout)), len(routes), "told")
        expect_equal(a.methods(), ["GetGuestDetails", "UpdateRoutes"], "one call")


@case
def lists_have_the_shape_of_1_13(s):
    wanted = ('[{"Device":"eth1","Name":"eth1","IPAddresses":[{"Family":2,"Address":"10.1.0.2","Mask":"24"},'
              '{"Family":10,"Address":"2001:db8::2","Mask":"64"}],"Mtu":1500,"RawFlags":0,"HwAddr":"02:42:ac:11:00:03",'
              '"PciPath":{},"LinkType":""},'
              '{"Device":"lo0","Name":"lo0","IPAddresses":null,"Mtu":1500,"RawFlags":0,"HwAddr":"02:00:00:00:00:01",'
              '"PciPath":{},"LinkType":""}]\n')
    for generation in ("declarative", "additive", "delta"):
        with agent(s, generation) as a:
            expect_run(kata(s, a, "list-ifaces"), 0, "[]\n", "")
            expect_run(kata(s, a, "list-routes"), 0, "null\n", "")
            a.plug(MAC, "eth1", "10.1.0.2/24", "2001:db8::2/64")
            a.plug("02:00:00:00:00:01", "lo0")
            # upper case, swapped families and an empty device are put right
            expect_run(kata(s, a, "list-ifaces"), 0, wanted, "")
            kata(s, a, "update-routes", "-", data=[NET])
            source = "10.1.0.2" if generation == "delta" else ""
            expect_run(kata(s, a, "list-routes"), 0,
                       json.dumps([{**NET, "Source": source}], separators=(",", ":")) + "\n", "")


@case
def errors_are_the_original_s(s):
    bad = s.path("bad.json")
    with open(bad, "w", encoding="utf-8") as file:
        file.write("{broken")
    with agent(s) as a:
        expect_run(ctl(s, "kata-network", "add-iface"), 1, "", "Missing container ID")
        expect_run(ctl(s, "kata-network", "list-ifaces"), 1, "", "Missing container ID")
        expect_run(ctl(s, "kata-network", "list-ifaces", "nobody"), 1, "", "Container ID (nobody) does not exist")
        expect_run(ctl(s, "kata-network", "list-ifaces", "../x"), 1, "", "Container ID (../x) does not exist")
        expect_run(kata(s, a, "add-iface", "/nowhere"), 1, "", "open /nowhere: no such file or directory")
        expect_run(kata(s, a, "add-iface"), 1, "", "open : no such file or directory")
        expect_run(kata(s, a, "add-iface", "/run"), 1, "", "read /run: is a directory\n")
        expect_run(kata(s, a, "add-iface", bad), 1, "", "invalid character 'b'")
        expect_run(kata(s, a, "update-routes", "-", data="{}"), 1, "", "json: cannot unmarshal object into Go value of type []*types.Route")
        expect_run(kata(s, a, "update-routes", "-", data=""), 1, "", "EOF")
        for mac in ("x", ""):
            expect_run(kata(s, a, "add-iface", "-", data={**ETH1, "HwAddr": mac}), 1, "null\n", f"address {mac}: invalid MAC address")
        expect_run(kata(s, a, "update-routes", "-", data=" " * (4 << 20) + "[]"), 1, "", "more than 4194304 bytes")
        expect_equal(a.methods(), [], "the agent was not called")
        for argv in (["kata-network"], ["kata-network", "nonsense"]):
            result = ctl(s, *argv)
            expect_run(result, 0, None, "")
            expect("update-routes" in result.stdout, "the verbs")
    expect_run(ctl(s, "--agent", "nonsense://x", "kata-network", "list-ifaces", "pod1"), 2, "", "an agent's URL")
    # the sandbox is looked for before anything is read, and an answer that did not come is null
    for argv in (("update-routes", "nobody", "-"), ("add-iface", "nobody", "/nowhere")):
        expect_run(ctl(s, "kata-network", *argv, data="null"), 1, "", "Container ID (nobody) does not exist")
    for verb in ("list-ifaces", "list-routes"):
        expect_run(ctl(s, "--agent", "unix:///nowhere", "kata-network", verb, "pod1"), 1, "null\n", "can't be reached")
        with agent(s) as a:
            a.fail = {"ListInterfaces": (INTERNAL, "so it is"), "ListRoutes": (INTERNAL, "so it is")}
            expect_run(kata(s, a, verb), 1, "null\n", "rpc error: code = Internal desc = so it is")


@case
def entries_that_make_no_sense_are_said(s):
    with agent(s) as a:
        a.plug(MAC, "e\n c")
        a.plug("02:00:00:00:00:01", "eth1")
        result = kata(s, a, "list-ifaces")
        expect_run(result, 0, None, "1 entries of the answer make no sense")
        expect_equal([i["Name"] for i in json.loads(result.stdout)], ["eth1"], "names")


@case
def sandboxes_are_found_by_their_shim(s):
    with agent(s) as a:
        a.plug(MAC, "eth1")
        for directory in ("/run/vc/sbs", "/run/kata"):
            with Shim(f"{directory}/{s.id}/shim-monitor.sock", a.url.replace("unix:", "remote:")) as shim:
                expect_run(ctl(s, "kata-network", "add-iface", s.id, "-", data=ETH1), 0, "null\n", "")
                expect(shim.asked and shim.asked[0].startswith("GET /agent-url HTTP/1."), f"asked {shim.asked}")
            os.unlink(f"{directory}/{s.id}/shim-monitor.sock")
        with open(f"/run/vc/sbs/{s.id}/persist.json", "w", encoding="utf-8") as file:
            json.dump({"AgentState": {"URL": a.url.replace("unix:", "remote:")}}, file)
        expect_run(ctl(s, "agent", s.id, "version"), 0, "3.14.0\n", "")
        expect_equal(a.connections, 3, "connections")


# ---- the monitor ----


class Guest:
    """A sandbox whose agent is found by its shim, and a monitor that calls netmonctl."""

    def __init__(self, s, generation):
        self.s = s
        self.agent = agent(s, generation)
        self.shim = Shim(f"/run/vc/sbs/{s.id}/shim-monitor.sock", f"remote://{self.agent.path}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.agent.close()
        self.shim.close()
        if kind is None:
            self.agent.check()

    def has(self, mac, *addresses):
        return wait(lambda: mac in self.agent.links and self.agent.addresses(mac) == sorted(addresses),
                    f"{mac} with {addresses}", 20)

    def has_routes(self, *wanted):
        try:
            wait(lambda: self.agent.route_set() == set(wanted), "routes", 20)
        except Failure:
            expect_equal(self.agent.route_set(), set(wanted), "routes of the guest")


@case
def kata_netmon_works_with_it(s):
    for generation in ("declarative", "additive", "delta"):
        eth0 = f"02:42:ac:11:09:0{len(s.monitors)}"
        s.veth("eth0", "addr add 172.17.0.2/16 dev {}", mac=eth0)
        s.pod_ip("route add default via 172.17.0.1")
        with Guest(s, generation) as guest:
            guest.agent.plug(eth0, "eth0", "172.17.0.2/16")
            m = s.start(runtime=CTL)
            guest.has_routes(("", "172.17.0.1", "eth0"))
            mac = s.veth("eth1", "addr add 10.1.0.2/24 dev {}", "addr add 2001:db8::2/64 dev {} nodad")
            # the NIC comes a moment after the pod's link
            guest.agent.wait_call("UpdateInterface", 1)
            guest.agent.plug(mac, "enp7s0")
            guest.has(mac, "10.1.0.2/24", "2001:db8::2/64")
            expect_equal(guest.agent.links[mac].name, "eth1", "its name")
            s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1")
            guest.has_routes(("", "172.17.0.1", "eth0"), ("10.9.0.0/16", "10.1.0.1", "eth1"))
            s.pod_ip("route del 10.9.0.0/16")
            # what an agent of Kata's from 3.15 on was given it keeps
            guest.has_routes(("", "172.17.0.1", "eth0"), *([("10.9.0.0/16", "10.1.0.1", "eth1")] if generation == "additive" else []))
            s.pod_ip("link del eth1")
            s.wait_audit("", op="del-link", result="done", interface="eth1")
            if generation == "delta":
                guest.has(mac)
            expect(m.is_alive(), "it ended")
            expect_equal(m.term()[0], 0, "exit status")
        s.pod_ip("link del eth0")
        os.rename(s.path("audit"), s.path(f"audit-{generation}"))
        subprocess.run(["rm", "-rf", s.state_path(), f"/run/vc/sbs/{s.id}"], check=True)


@case
def the_monitor_s_question_is_answered_rightly(s):
    """A monitor that was killed in an add asks list-ifaces: what the guest has is not added again."""
    eth0 = s.veth("eth0", "addr add 172.17.0.2/16 dev {}")
    s.pod_ip("route add default via 172.17.0.1")
    with Guest(s, "declarative") as guest:
        guest.agent.plug(eth0, "eth0", "172.17.0.2/16")
        m = s.start(runtime=CTL)
        guest.has_routes(("", "172.17.0.1", "eth0"))
        guest.agent.silent.add("UpdateInterface")
        mac = s.veth("eth1", "addr add 10.1.0.2/24 dev {}", "addr add 2001:db8::2/64 dev {} nodad")
        guest.agent.plug(mac, "eth1")
        # The guest has it, and neither netmonctl nor the monitor will hear of it.
        guest.has(mac, "10.1.0.2/24", "2001:db8::2/64")
        m.kill(signal.SIGKILL)
        for pid in processes():
            if "kata-network add-iface" in command_of(pid):
                with contextlib.suppress(ProcessLookupError):  # it may have ended of itself
                    os.kill(pid, signal.SIGKILL)
        guest.agent.silent.clear()
        told = len(guest.agent.requests("UpdateInterface"))
        s.start(runtime=CTL)
        guest.agent.wait_call("ListInterfaces", 1)
        s.wait_audit("", op="add-link", result="done", interface="eth1")
        expect_equal(len(guest.agent.requests("UpdateInterface")), told, "it was not told again")


# ---- agent ----


@case
def ping(s):
    with agent(s) as a:
        result = ctl(s, "agent", a.url, "ping")
        expect_run(result, 0, None, "")
        expect(result.stdout.startswith("serving in ") and result.stdout.endswith(" ms\n"), result.stdout)
        result = ctl(s, "agent", a.path, "ping", "--json")
        expect_run(result, 0, None, "")
        document = json.loads(result.stdout)
        expect(document["serving"] is True and 0 < document["usec"] < 60_000_000, result.stdout)
        a.serving = 2
        result = ctl(s, "agent", a.url, "ping")
        expect_run(result, 1, None, "")
        expect(result.stdout.startswith("not serving in "), result.stdout)


@case
def version_and_details(s):
    for generation, word, version, feature in (("declarative", "declarative", "3.14.0", "guest-pull"),
                                               ("additive", "additive", "4.1.0", "guest-pull"),
                                               ("delta", "delta-v1", "0.1.0", "netmon.delta.v1")):
        with agent(s, generation) as a:
            expect_run(ctl(s, "agent", a.url, "version"), 0, f"{version}\n", "")
            expect_run(ctl(s, "agent", a.url, "version", "--json"), 0, f'{{"version":"{version}"}}\n', "")
            result = ctl(s, "agent", a.url, "details", "--json")
            expect_run(result, 0, None, "")
            expect_equal(json.loads(result.stdout), {"version": version, "generation": word, "init_daemon": True, "features": [feature]}, "details")
            expect_run(ctl(s, "agent", a.url, "details"), 0,
                       f"WHAT        VALUE\nversion     {version}\ngeneration  {word}\ninit        yes\nfeature     {feature}\n", "")


@case
def interfaces(s):
    with agent(s) as a:
        a.plug(MAC, "eth1", "10.1.0.2/24", "2001:db8::2/64")
        a.plug("02:00:00:00:00:01", "longer-name")
        expect_run(ctl(s, "agent", a.url, "interfaces"), 0,
                   "NAME         MAC                MTU   FLAGS   ADDRESSES\n"
                   "eth1         02:42:ac:11:00:03  1500  0x1043  10.1.0.2/24,2001:db8::2/64\n"
                   "longer-name  02:00:00:00:00:01  1500  0x1043  -\n", "")
        result = ctl(s, "agent", a.url, "interfaces", "--json")
        expect_equal(json.loads(result.stdout)[0],
                     {"name": "eth1", "mac": MAC, "mtu": 1500, "flags": 0x1043, "type": "",
                      "addresses": ["10.1.0.2/24", "2001:db8::2/64"]}, "JSON")


@case
def routes(s):
    with agent(s, "delta") as a:
        a.plug(MAC, "eth1")
        kata(s, a, "update-routes", "-", data=ROUTES)
        a.routes[1].update(flags=4, mtu=1400)
        expect_run(ctl(s, "agent", a.url, "routes"), 0,
                   "DESTINATION      GATEWAY      DEVICE  SOURCE    SCOPE   MTU   FLAGS\n"
                   "10.1.5.0/24      -            eth1    10.1.0.2  link    -     -\n"
                   "default          10.1.0.1     eth1    -         global  1400  onlink\n"
                   "2001:db8:5::/48  2001:db8::1  eth1    -         global  -     -\n", "")
        result = ctl(s, "agent", a.url, "routes", "--json")
        expect_equal(json.loads(result.stdout)[:2], [
            {"destination": "10.1.5.0/24", "family": 4, "gateway": None, "device": "eth1", "source": "10.1.0.2", "scope": 253,
             "mtu": 0, "onlink": False},
            {"destination": "default", "family": 4, "gateway": "10.1.0.1", "device": "eth1", "source": None, "scope": 0,
             "mtu": 1400, "onlink": True}], "JSON")


@case
def destinations_that_kata_does_not_tell_are_not_made_up(s):
    with agent(s, "additive") as a:
        a.plug(MAC, "eth1")
        kata(s, a, "update-routes", "-", data=ROUTES)
        result = ctl(s, "agent", a.url, "routes")
        expect_run(result, 0, None, "")
        expect_equal([line.split()[:2] for line in result.stdout.splitlines()[1:]],
                     [["10.1.5.0/24", "-"], ["?", "10.1.0.1"], ["?", "2001:db8::1"]], "routes")
        result = ctl(s, "agent", a.url, "routes", "--json")
        expect_equal([r["destination"] for r in json.loads(result.stdout)], ["10.1.5.0/24", None, None], "JSON")


@case
def neighbours_are_told_by_ours_only(s):
    with agent(s, "delta") as a:
        a.neighbours = [{"toIPAddress": {"family": 0, "address": "10.1.0.1", "mask": ""}, "device": "eth1",
                         "lladdr": "02:42:01:02:03:04", "state": 128, "flags": 0}]
        expect_run(ctl(s, "agent", a.url, "neighbours"), 0,
                   "ADDRESS   DEVICE  MAC                STATE\n10.1.0.1  eth1    02:42:01:02:03:04  permanent\n", "")
        result = ctl(s, "agent", a.url, "neighbours", "--json")
        expect_equal(json.loads(result.stdout),
                     [{"address": "10.1.0.1", "device": "eth1", "mac": "02:42:01:02:03:04", "state": 128}], "JSON")
    with agent(s, "additive") as a:
        expect_run(ctl(s, "agent", a.url, "neighbours"), 5, "", "can't tell its neighbours")


@case
def iptables(s):
    text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment \"a b\" -j ACCEPT\nCOMMIT\n"
    with agent(s) as a:
        a.iptables = {False: text.encode(), True: b"*six\n"}
        expect_run(ctl(s, "agent", a.url, "iptables"), 0, text, "")
        expect_run(ctl(s, "agent", a.url, "iptables", "--ipv6"), 0, "*six\n", "")
        result = ctl(s, "agent", a.url, "iptables", "--json")
        expect_equal(json.loads(result.stdout), {"iptables": text}, "JSON")
        a.iptables[False] = b"*nat\n\x1b]0;owned\x07\xff\n"
        expect_run(ctl(s, "agent", a.url, "iptables"), 0, "*nat\n\\x1b]0;owned\\x07\\xff\n", "")
        # a table shows a NUL, a string of JSON would end there
        a.iptables[False] = b"*nat\n\0-A HIDDEN\n"
        expect_run(ctl(s, "agent", a.url, "iptables"), 0, "*nat\n\\x00-A HIDDEN\n", "")
        expect_run(ctl(s, "agent", a.url, "iptables", "--json"), 4, "", "no answer: rules with a NUL at byte 5 of 16")


@case
def hostile_words_reach_no_terminal(s):
    with agent(s) as a:
        a.version = "1\x1b[2J\n2"
        expect_run(ctl(s, "agent", a.url, "version"), 0, "1\\x1b[2J\\x0a2\n", "")
        # no name of an interface: such an entry is left out, and counted
        a.plug(MAC, "e\n\x1b c")
        a.plug("02:00:00:00:00:01", "eth1")
        result = ctl(s, "agent", a.url, "interfaces")
        expect_run(result, 0, None, "1 entries of the answer make no sense")
        expect_equal([line.split()[0] for line in result.stdout.splitlines()], ["NAME", "eth1"], "names")
        a.fail["ListRoutes"] = INTERNAL, "no\x1b[2J\x07"
        expect_run(ctl(s, "agent", a.url, "routes"), 1, "", "the agent refused: internal: no\\x1b[2J\\x07")


# ---- exit statuses ----


@case
def each_failure_has_its_exit_status(s):
    with agent(s) as a:
        a.fail["Check"] = PERMISSION_DENIED, "not you"
        expect_run(ctl(s, "agent", a.url, "ping"), 1, "", "not you")
        expect_run(ctl(s, "agent", "vsock://x", "ping"), 2, "", "vsock://x")
        expect_run(ctl(s, "agent", "no id!", "ping"), 2, "")
        expect_run(ctl(s, "agent", a.url, "pong"), 2, "")
        expect_run(ctl(s, "agent", "unix:///nowhere", "ping"), 3, "", "the agent can't be reached")
        expect_run(ctl(s, "agent", "nobody", "ping"), 3, "", "the agent can't be reached")
        a.fail.clear()
        a.silent.add("Check")
        expect_run(ctl(s, "--timeout", "2", "agent", a.url, "ping"), 4, "", "no answer")
        a.silent.clear()
        a.payload["Check"] = b"\xff\xff"
        expect_run(ctl(s, "agent", a.url, "ping"), 4, "", "no answer")
        a.payload.clear()
        a.raw["Check"] = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        expect_run(ctl(s, "--timeout", "5", "agent", a.url, "ping"), 4, "", "no answer")
        a.fail["GetIPTables"] = UNIMPLEMENTED, "grpc.AgentService/GetIPTables is not supported"
        expect_run(ctl(s, "agent", a.url, "iptables"), 5, "", "this agent can't tell")


@case
def nobody_is_waited_for_beyond_the_timeout(s):
    """A socket that takes a connection and says nothing; a shim likewise."""
    path = f"/run/kata/{s.id}/shim-monitor.sock"
    os.makedirs(os.path.dirname(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(path)
        mute.listen(1)
        # words that nothing but our own end of the time says
        expect_run(ctl(s, "--timeout", "1", "agent", f"hvsock://{path}:1024", "ping"), 3, "", "no connection in time")
        expect_run(ctl(s, "--timeout", "1", "agent", s.id, "ping"), 3, "", "did not say in time where the agent is")


@case
def a_document_that_takes_its_time_costs_the_agent_none(s):
    with agent(s) as a:
        a.plug(MAC, "eth1")
        argv = [CTL, "--agent", a.url, "--timeout", "3", "kata-network", "add-iface", "pod1", "-"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=s.environment()) as process:
            begun = time.monotonic()
            wait(lambda: time.monotonic() > begun + 3.5, "more than the timeout", 60)
            out, err = process.communicate(json.dumps(ETH1), timeout=60)
            expect_equal((process.returncode, out, err), (0, "null\n", ""), "what came of it")


@case
def a_reader_that_is_gone_is_an_error_and_no_signal(s):
    with agent(s) as a:
        read, write = os.pipe()
        os.close(read)
        result = subprocess.run([CTL, "agent", a.url, "version"], stdout=write, stderr=subprocess.PIPE, text=True,
                                env=s.environment(), timeout=60, check=False)
        os.close(write)
        expect_equal(result.returncode, 1, result.stderr)
        expect("Broken pipe" in result.stderr, result.stderr)


@case
def a_result_that_nobody_can_have_is_an_error(s):
    with agent(s) as a, open("/dev/full", "w", encoding="utf-8") as full:
        for argv in (["--help"], ["--version"], ["agent", a.url, "version"], ["--agent", a.url, "kata-network", "list-ifaces", "pod1"]):
            result = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", CTL, *argv], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                    text=True, env=s.environment(), timeout=60, check=False)
            expect_equal((result.returncode, "Bad file descriptor" in result.stderr), (1, True), f"{argv}, closed: {result.stderr}")
            result = subprocess.run([CTL, *argv], stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, text=True,
                                    env=s.environment(), timeout=60, check=False)
            expect_equal((result.returncode, "No space left" in result.stderr), (1, True), f"{argv}, full: {result.stderr}")
        # a closed stdin is no document
        result = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", CTL, "--agent", a.url, "kata-network", "update-routes", "pod1", "-"],
                                capture_output=True, text=True, env=s.environment(), timeout=60, check=False)
        expect_run(result, 1, "", "read /dev/stdin: bad file descriptor")
        expect_equal(set(a.methods()), {"Version", "ListInterfaces"}, "calls")


if __name__ == "__main__":
    main()
