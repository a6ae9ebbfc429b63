# SPDX-License-Identifier: Apache-2.0
"""The agent sink: what happens in the pod is in the guest, for agents of all three generations, and after any restart.

The agent is fake_agent.FakeAgent: strict about what it is told, and as forgetful, additive or declarative as Kata's.
"""

import os
import signal
import time

from fake_agent import INTERNAL, PERMISSION_DENIED, UNIMPLEMENTED, FakeAgent, Refusal, Shim
from harness import Monitor, case, expect, expect_equal, ip_json, is_wanted, main, routes_of_kernel, seed, wait

GENERATIONS = ("declarative", "additive", "delta")


class Guest(FakeAgent):
    """An agent and what a test asks of it."""

    def __init__(self, s, generation):
        super().__init__(s.path("agent.sock"), generation)
        self.s = s

    def nic(self, mac, name="ens1"):
        self.plug(mac, name)
        return mac

    def start(self, *options, **more):
        return self.s.start("--sink", "agent", "--agent", self.url, *options, **more)

    # -- what is true

    def pod_links(self):
        """{MAC: (name, mtu, addresses)}"""
        links = {}
        for link in ip_json(self.s.pod, "-d", "addr", "show"):
            if is_wanted(link):
                addresses = {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["scope"] != "link"}
                links[link["address"]] = link["ifname"], link["mtu"], addresses
        return links

    def pod_routes(self):
        names = {name for name, _, _ in self.pod_links().values()}
        return {(route.dest, route.gateway, route.device) for route in routes_of_kernel(self.s.pod, names)}

    def guest_links(self):
        with self.lock:
            return {mac: (link.name, link.mtu, set(link.addresses)) for mac, link in self.links.items()}

    def links_are_true(self):
        """The guest may have NICs that the pod has not, and IPv4 addresses where its agent deletes none."""
        guest = self.guest_links()
        for mac, (name, mtu, addresses) in self.pod_links().items():
            if mac not in guest or guest[mac][:2] != (name, mtu):
                return False
            more = guest[mac][2] - addresses
            if addresses - guest[mac][2] or (more if self.generation != "additive" else any(":" in a for a in more)):
                return False
        return True

    def routes_are_true(self):
        pod, guest = self.pod_routes(), self.route_set()
        return pod <= guest if self.generation == "additive" else pod == guest

    def wait_true(self, what, seconds=20):
        try:
            wait(lambda: self.links_are_true() and self.routes_are_true(), what, seconds)
        except Exception:
            expect_equal((self.guest_links(), self.route_set()), (self.pod_links(), self.pod_routes()), what)

    def count(self, method):
        return self.methods().count(method)


def for_each_generation(s, check):
    for generation in GENERATIONS:
        with Guest(s, generation) as guest:
            check(s, guest)
        for monitor in s.monitors:
            if monitor.is_alive():
                monitor.term()


def told(s, guest):
    """A pod with eth0, and a guest that has it: cold-plugged, known by its MAC alone."""
    name = f"eth{len(s.monitors)}"
    mac = s.veth(name, f"addr add 10.{len(s.monitors)}.0.2/24 dev {{}}")
    guest.nic(mac)
    monitor = guest.start()
    guest.wait_true("the first look")
    return name, mac, monitor


# ---- what comes ----


@case
def what_comes_to_the_pod_comes_to_the_guest(s):
    def check(s, guest):
        name, _, monitor = told(s, guest)
        net = f"10.{len(s.monitors) - 1}.0"
        s.pod_ip(f"addr add 2001:db8::{len(s.monitors)}/64 dev {name} nodad", f"link set {name} mtu 1400")
        guest.wait_true("an address and an MTU")
        s.pod_ip(f"route add default via {net}.1 metric {len(s.monitors)}", f"route add 192.168.0.0/16 via {net}.9 dev {name}",
                 f"route add 2001:db8:99::/48 via 2001:db8::ffff dev {name} onlink")
        guest.wait_true("routes")
        s.pod_ip(f"neigh add {net}.1 lladdr 02:00:00:00:00:99 dev {name}")
        wait(lambda: guest.neighbours, "a neighbour")
        expect_equal((guest.neighbours[0]["toIPAddress"]["address"], guest.neighbours[0]["toIPAddress"]["mask"]), (f"{net}.1", ""),
                     "the neighbour")
        expect_equal(s.violations(), "", "nobody called the runtime")
        monitor.term()
        s.pod_ip(f"link del {name}")
    for_each_generation(s, check)


@case
def a_guest_that_is_as_it_should_be_is_told_of_no_interface(s):
    def check(s, guest):
        name, mac, monitor = told(s, guest)
        before = guest.count("UpdateInterface")
        monitor.term()
        guest.start()
        wait(lambda: guest.connections >= 2 and guest.count("GetGuestDetails") >= 2, "it is asked who it is")
        s.pod_ip(f"route add 10.99.0.0/16 dev {name}")
        guest.wait_true("a route")
        expect_equal(guest.count("UpdateInterface"), before, "calls of UpdateInterface")
        s.pod_ip(f"link del {name}")
    for_each_generation(s, check)


@case
def a_nic_that_is_not_plugged_yet_is_asked_for_again(s):
    with Guest(s, "additive") as guest:
        mac = s.veth("eth0", "addr add 10.0.0.2/24 dev {}")
        guest.start()
        wait(lambda: guest.count("UpdateInterface") >= 2, "it is asked again")
        expect(s.wait_audit("not plugged yet", op="add-link", result="retry"), "the audit says why")
        guest.nic(mac)
        guest.wait_true("the NIC, once it is there")


# ---- what goes ----


@case
def what_goes_from_the_pod_goes_from_a_guest_whose_agent_can_take_back(s):
    for generation in ("declarative", "delta"):
        with Guest(s, generation) as guest:
            name, mac, monitor = told(s, guest)
            s.pod_ip(f"addr add 10.77.0.2/24 dev {name}", f"route add 10.88.0.0/16 dev {name}",
                     f"neigh add 10.77.0.9 lladdr 02:00:00:00:00:77 dev {name}")
            guest.wait_true("what comes")
            wait(lambda: guest.neighbours, "the neighbour")
            s.pod_ip(f"route del 10.88.0.0/16 dev {name}", f"addr del 10.77.0.2/24 dev {name}", f"neigh del 10.77.0.9 dev {name}")
            guest.wait_true("what goes")
            if generation == "delta":
                wait(lambda: guest.count("RemoveNeighbors") == 1, "the neighbour goes")
            else:
                s.wait_audit("guest-only", kind="drift")
            s.pod_ip(f"link del {name}")
            if generation == "delta":
                wait(lambda: guest.count("RemoveInterface") == 1, "the link goes")
                expect_equal(guest.addresses(mac), [], "its addresses")
            monitor.term()


@case
def a_route_that_goes_is_led_where_the_one_that_covers_it_leads(s):
    with Guest(s, "additive") as guest:
        name, _, _ = told(s, guest)
        s.pod_ip("route add default via 10.0.0.1", "route add 10.50.0.0/16 via 10.0.0.9")
        guest.wait_true("both")
        updates = guest.count("UpdateInterface")
        s.pod_ip("route del 10.50.0.0/16")
        wait(lambda: ("10.50.0.0/16", "10.0.0.1", name) in guest.route_set(), "the shadow")
        s.pod_ip("route replace default via 10.0.0.5")
        wait(lambda: ("10.50.0.0/16", "10.0.0.5", name) in guest.route_set(), "it follows what covers it")
        expect_equal(guest.count("UpdateInterface"), updates, "the link was not taken down")


@case
def a_route_that_nothing_covers_goes_by_a_bounce_and_the_others_are_told_again(s):
    with Guest(s, "additive") as guest:
        name, _, _ = told(s, guest)
        s.pod_ip("route add 10.50.0.0/16 via 10.0.0.9", "route add 10.60.0.0/16 via 10.0.0.9")
        guest.wait_true("both")
        updates = guest.count("UpdateInterface")
        s.pod_ip("route del 10.50.0.0/16")
        wait(lambda: guest.route_set() == {("10.60.0.0/16", "10.0.0.9", name)}, "one goes, one stays")
        expect_equal(guest.count("UpdateInterface"), updates + 1, "one bounce")


@case
def with_report_it_stays_and_the_audit_says_so(s):
    with Guest(s, "additive") as guest:
        mac = s.veth("eth0", "addr add 10.0.0.2/24 dev {}", "addr add 10.0.1.2/24 dev {}")
        guest.nic(mac)
        guest.start("--withdraw", "report")
        s.pod_ip("route add 10.50.0.0/16 via 10.0.0.9")
        guest.wait_true("a route")
        updates = guest.count("UpdateInterface")
        s.pod_ip("route del 10.50.0.0/16", "addr del 10.0.1.2/24 dev eth0")
        wait(lambda: len([r for r in s.audit(kind="drift") if "guest-only" in r["reason"]]) == 2, "two reports")
        expect_equal(guest.count("UpdateInterface"), updates, "nothing is done for what can't be done")


# ---- an agent that says no ----


@case
def one_route_of_many_that_is_refused_costs_itself_alone(s):
    with Guest(s, "additive") as guest:
        name, _, _ = told(s, guest)
        refused = "10.200.7.0/24"
        update = guest.on_update_routes

        def but_one(request):
            if any(route["dest"] == refused for route in request["routes"]["Routes"]):
                raise Refusal(PERMISSION_DENIED, "policy")
            return update(request)
        guest.on_update_routes = but_one
        s.pod_ip(*(f"route add 10.200.{n}.0/24 dev {name}" for n in range(100)))
        wait(lambda: len(guest.route_set()) == 99, "all but one")
        s.wait_audit("policy", op="add-route", result="refused")
        calls = guest.count("UpdateRoutes")
        expect(calls < 40, f"{calls} calls to find one of a hundred")
        s.pod_ip(f"route add 10.201.0.0/24 dev {name}")
        wait(lambda: len(guest.route_set()) == 100, "the next one goes")


@case
def an_agent_without_neighbours_is_asked_once(s):
    with Guest(s, "additive") as guest:
        name, _, _ = told(s, guest)
        guest.fail["AddARPNeighbors"] = (UNIMPLEMENTED, "AddARPNeighbors is not implemented")
        s.pod_ip(f"neigh add 10.0.0.8 lladdr 02:00:00:00:00:01 dev {name}")
        s.wait_audit("neighbour", kind="drift")
        s.pod_ip(f"neigh add 10.0.0.9 lladdr 02:00:00:00:00:02 dev {name}", f"route add 10.50.0.0/16 dev {name}")
        guest.wait_true("a route")
        expect_equal(guest.count("AddARPNeighbors"), 1, "asked once")


@case
def an_agent_that_fails_for_a_while_is_asked_again(s):
    with Guest(s, "declarative") as guest:
        name, _, _ = told(s, guest)
        guest.fail["UpdateRoutes"] = (INTERNAL, "Failed to update routes: first: boom")
        s.pod_ip(f"route add 10.50.0.0/16 dev {name}")
        s.wait_audit("boom", op="set-routes")
        del guest.fail["UpdateRoutes"]
        s.pod_ip(f"route add 10.60.0.0/16 dev {name}")
        guest.wait_true("both")


# ---- restarts ----


@case
def what_changed_while_the_monitor_was_dead_is_told(s):
    def check(s, guest):
        name, _, monitor = told(s, guest)
        s.pod_ip(f"route add 10.50.0.0/16 dev {name}", f"route add 10.60.0.0/16 dev {name}")
        guest.wait_true("routes")
        monitor.kill()
        s.pod_ip(f"route del 10.50.0.0/16 dev {name}", f"addr add 10.70.0.2/24 dev {name}", f"route add 10.80.0.0/16 dev {name}")
        guest.start()
        guest.wait_true("what changed")
        # additive: nothing covers it, so that it went by a bounce
        wait(lambda: "10.50.0.0/16" not in {dest for dest, _, _ in guest.route_set()}, "what went meanwhile")
        s.pod_ip(f"link del {name}")
    for_each_generation(s, check)


@case
def an_agent_that_was_restarted_with_nothing_is_told_everything(s):
    def check(s, guest):
        name, _, _ = told(s, guest)
        s.pod_ip(f"route add 10.50.0.0/16 dev {name}", f"neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev {name}")
        guest.wait_true("a route")
        wait(lambda: guest.neighbours, "a neighbour")
        with guest.lock:
            for link in guest.links.values():
                link.addresses, link.name, link.mtu = [], "ens1", 1500
            guest.routes, guest.neighbours = [], []
        guest.cut()
        guest.wait_true("everything again")
        wait(lambda: guest.neighbours, "the neighbour again")
        s.pod_ip(f"link del {name}")
    for_each_generation(s, check)


@case
def a_connection_that_is_lost_in_the_middle_of_a_call_costs_nothing(s):
    def check(s, guest):
        name, _, _ = told(s, guest)
        guest.silent.add("UpdateRoutes")
        s.pod_ip(f"route add 10.50.0.0/16 dev {name}")
        guest.wait_call("UpdateRoutes")
        s.pod_ip(f"route del 10.50.0.0/16 dev {name}", f"route add 10.60.0.0/16 dev {name}")
        guest.silent.clear()
        guest.cut()
        guest.wait_true("what is true now")
        wait(lambda: "10.50.0.0/16" not in {dest for dest, _, _ in guest.route_set()}, "what went meanwhile")
        s.pod_ip(f"link del {name}")
    for_each_generation(s, check)


@case
def the_agent_is_found_by_the_sandboxs_shim_whenever_it_comes(s):
    mac = s.veth("eth0", "addr add 10.0.0.2/24 dev {}")
    monitor = s.start("--sink", "agent")
    with Guest(s, "delta") as guest:
        guest.nic(mac)
        with Shim(f"/run/vc/sbs/{s.id}/shim-monitor.sock", guest.url):
            guest.wait_true("the shim says where it is", 40)
            expect_equal(monitor.is_alive(), True, "the monitor is alive")


# ---- storms and kills ----


@case
def a_storm_of_addresses_and_routes_ends_in_the_truth(s):
    def check(s, guest):
        name, _, _ = told(s, guest)
        number = len(s.monitors)
        s.pod_ip(*(f"addr {'add' if n % 2 == 0 else 'del'} 10.{100 + number}.{n // 2}.2/24 dev {name}" for n in range(200)),
                 f"addr add 10.{100 + number}.200.2/24 dev {name}",
                 *(f"route add 10.{200 + n // 250}.{n % 250}.0/24 dev {name}" for n in range(2000)))
        guest.wait_true("the storm", 60)
        s.pod_ip(f"link del {name}")
    for_each_generation(s, check)


@case
def kills_at_any_instant_lose_nothing(s):
    """The ways of a kill that the 300 of test_kills.py do not meet: many ops in one call, a guest that says what it has."""
    random = seed()
    with Guest(s, "additive") as guest:
        name, _, monitor = told(s, guest)
        s.pod_ip("route add default via 10.0.0.1")
        present = set()
        for _ in range(40):
            dest = f"10.{random.randrange(50, 60)}.0.0/16"
            s.pod_ip(f"route {'del' if dest in present else 'add'} {dest} dev {name}")
            present ^= {dest}
            time.sleep(random.random() / 50)
            monitor.kill(signal.SIGKILL)
            monitor = Monitor(s, s.argv("--sink", "agent", "--agent", guest.url, "--log-target", "stderr", "--audit", s.path("audit")),
                              netns=s.pod)
        guest.wait_true("after forty kills")
        pod = guest.pod_routes()
        wait(lambda: all(gateway == "10.0.0.1" for _, gateway, _ in guest.route_set() - pod), "what went is led by the default route")
        expect(os.path.exists(s.state_path("agent/state")), "its state has a folder of its own")


if __name__ == "__main__":
    main()
