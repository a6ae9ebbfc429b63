# SPDX-License-Identifier: Apache-2.0
"""Routes: the whole set, after the links, once for each change, and never what can not be said."""

from harness import case, expect, expect_equal, ip_argv, main, wait


def start_with_routes(s, *options):
    """A monitor in a pod with eth0 and eth1, both known to the guest."""
    s.eth0()
    m = s.start_told(*options)
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}", "addr add 2001:db8:1::2/64 dev {} nodad")
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24", "2001:db8:1::2/64"])])
    s.wait_true()
    return m


@case
def route_kinds_are_told_as_they_are(s):
    start_with_routes(s)
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1", "route add 10.9.1.7 dev eth1",
             "route add 10.9.2.0/24 dev eth1 src 10.1.0.2", "route add 10.9.3.0/24 via 10.99.0.1 dev eth1 onlink mtu 1300 metric 5",
             "route add 2001:db8:5::/48 via 2001:db8:1::1", "route add default via 2001:db8:1::1",
             "route add 2001:db8:6::/64 dev eth1", "route add 0.0.0.0/1 via 10.1.0.1")
    s.wait_true()
    routes = {tuple(route) for route in s.guest_routes()}
    for wanted in [("", "172.17.0.1", "eth0", "", 0), ("10.9.0.0/16", "10.1.0.1", "eth1", "", 0),
                   ("10.9.1.7/32", "", "eth1", "", 253), ("10.9.2.0/24", "", "eth1", "10.1.0.2", 253),
                   ("10.9.3.0/24", "10.99.0.1", "eth1", "", 0), ("2001:db8:5::/48", "2001:db8:1::1", "eth1", "", 0),
                   ("", "2001:db8:1::1", "eth1", "", 0), ("2001:db8:6::/64", "", "eth1", "", 0),
                   ("0.0.0.0/1", "10.1.0.1", "eth1", "", 0)]:
        expect(wanted in routes, f"{wanted} is not among {routes}")
    expect_equal(len(routes), 9, f"number of routes in {routes}")


@case
def route_replaced_and_withdrawn(s):
    start_with_routes(s)
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1")
    s.wait_routes()
    s.pod_ip("route replace 10.9.0.0/16 via 10.1.0.9")
    s.wait_routes()
    s.pod_ip("route del 10.9.0.0/16")
    s.wait_routes()
    expect_equal(s.guest_routes(), {("", "172.17.0.1", "eth0", "", 0)}, "routes")


@case
def route_set_that_is_empty_is_an_empty_list(s):
    """Not null, which the runtime takes for "no news": runtime virtcontainers/kata_agent.go."""
    s.eth0()
    s.start_told()
    s.pod_ip("route del default")
    wait(lambda: s.done("update-routes")[-1].document == [], "an empty list")
    expect_equal(s.guest_routes(), set(), "routes of the guest")


@case
def route_set_that_is_the_same_is_not_sent_twice(s):
    start_with_routes(s)
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1 metric 5")
    s.wait_routes()
    s.quiet("all is told")
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.7 metric 500")  # hidden behind the lower metric
    s.pod_ip("route add 10.8.0.0/16 via 10.1.0.1 table 100", "route flush table 100")
    s.pod_ip("route add 127.1.0.0/16 dev lo", "route del 127.1.0.0/16 dev lo")
    s.pod_ip("link set lo down", "link set lo up")
    s.peers_ip("link set p-eth1 mtu 1400")
    s.quiet("nothing that a guest would see", 0.8)
    s.pod_ip("route del 10.9.0.0/16 metric 5")
    wait(lambda: ("10.9.0.0/16", "10.1.0.7", "eth1", "", 0) in s.guest_routes(), "the next lowest metric")


@case
def route_that_can_not_be_said_is_audited_once(s):
    start_with_routes(s)
    s.pod_ip("route add blackhole 10.66.0.0/16", "route add unreachable 10.67.0.0/16", "route add prohibit 10.68.0.0/16",
             "route add throw 10.69.0.0/16",
             "route add 10.70.0.0/16 nexthop via 10.1.0.1 weight 1 nexthop via 172.17.0.1 weight 1")
    ip_argv(s.pod, "route", "add", "10.71.0.0/16", "via", "inet6", "2001:db8:1::1", "dev", "eth1")
    drift = {"10.66.0.0/16": "not-unicast", "10.67.0.0/16": "not-unicast", "10.68.0.0/16": "not-unicast",
             "10.69.0.0/16": "not-unicast", "10.70.0.0/16": "multipath", "10.71.0.0/16": "via-other-family"}
    for dest in drift:
        s.wait_audit(dest, kind="drift")
    # Other news must neither send them nor say them again.
    for number in range(3):
        s.pod_ip(f"route add 10.9.{number}.0/24 via 10.1.0.1")
        s.wait_routes()
    s.quiet("all is told")
    for dest, why in drift.items():
        records = [r for r in s.audit(kind="drift") if dest in r["reason"]]
        expect_equal(len(records), 1, f"audit records for {dest}: {records}")
        expect("unsayable-route" in records[0]["reason"] and why in records[0]["reason"], f"reason for {dest}: {records[0]['reason']}")
        expect(all(dest not in str(call.document) for call in s.calls()), f"{dest} was sent")
    expect(all(route.device for call in s.done("update-routes") for route in call.routes), "a route without a device was sent")


@case
def route_tables_and_rules_are_audited(s):
    start_with_routes(s)
    s.quiet("all is told")
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1 table 100", "rule add from 10.1.0.0/24 table 100 priority 77")
    wait(lambda: len(s.audit(kind="drift", op="drift")) >= 2, "two records: a table and a rule")
    s.quiet("other tables and rules are not told")
    s.pod_ip("route add 10.8.0.0/16 via 10.1.0.1 table 100", "route del 10.9.0.0/16 table 100")
    s.quiet("nor are their changes")
    records = [r for r in s.audit(kind="drift") if "policy-routing" in r["reason"]]
    expect_equal(len(records), 2, f"records: {records}")


@case
def route_default6_without_gateway_is_not_sent(s):
    """Its "Dest":"" would be read as IPv4."""
    start_with_routes(s)
    s.pod_ip("route add ::/0 dev eth1 metric 3")
    s.wait_audit("default6-without-gateway", kind="drift")
    s.quiet("it is not sent")


@case
def route_lost_by_link_down_is_withdrawn(s):
    """The kernel says nothing of IPv4 routes that go with the link."""
    start_with_routes(s)
    s.pod_ip(*(f"route add 10.9.{n}.0/24 via 10.1.0.1" for n in range(50)), "route add 2001:db8:5::/48 via 2001:db8:1::1")
    s.wait_true()
    for _ in range(5):
        s.pod_ip("link set eth1 down")
        s.wait_routes()
        expect_equal(s.guest_routes(), {("", "172.17.0.1", "eth0", "", 0)}, "routes")
        s.pod_ip("link set eth1 up", *(f"route add 10.9.{n}.0/24 via 10.1.0.1" for n in range(50)))
        s.wait_routes()
    expect_equal(len(s.done("add-iface")), 1, "calls of add-iface")


@case
def route_lost_with_the_last_address_is_withdrawn(s):
    """Nor of those that go with the last address."""
    start_with_routes(s)
    s.pod_ip(*(f"route add 10.9.{n}.0/24 via 10.1.0.1" for n in range(40)), "route add 10.7.0.0/16 dev eth1")
    s.wait_routes()
    s.pod_ip("addr del 10.1.0.2/24 dev eth1")
    s.wait_routes()
    expect_equal(s.guest_routes(), {("", "172.17.0.1", "eth0", "", 0)}, "routes")


@case
def route_lost_with_its_link_is_withdrawn_after_it(s):
    start_with_routes(s)
    s.pod_ip(*(f"route add 10.9.{n}.0/24 via 10.1.0.1" for n in range(40)))
    s.wait_routes()
    s.pod_ip("link del eth1")
    s.wait_true()
    expect_equal([call.verb for call in s.calls()[-2:]], ["del-iface", "update-routes"], "last calls")


@case
def route_comes_after_its_link(s):
    """The stub refuses a route on a link that the guest has not."""
    s.eth0()
    s.start_told()
    s.veth("eth1", up=False)
    s.pod_ip("addr add 10.1.0.2/24 dev eth1", "link set eth1 up", "route add 10.9.0.0/16 via 10.1.0.1",
             "route add 10.8.0.0/16 via 10.1.0.1")
    s.wait_true()
    expect_equal(s.violations(), "", "violations")
    expect_equal([call.verb for call in s.calls()[1:3]], ["add-iface", "update-routes"], "order of calls")


@case
def route_over_a_link_that_is_not_told_is_not_sent(s):
    s.eth0()
    s.start_told()
    s.pod_ip("link add br0 type bridge", "addr add 10.5.0.1/24 dev br0", "link set br0 up", "route add 10.55.0.0/16 via 10.5.0.9 dev br0")
    s.wait_audit("not-pluggable", interface="br0")
    s.quiet("a bridge's route")
    expect("10.55.0.0/16" not in str([call.document for call in s.calls()]), "it was sent")


@case
def route_changes_in_a_row_are_gathered(s):
    """One by one, 5 ms apart: told at a pace, and true at the end."""
    start_with_routes(s)
    before = len(s.calls())
    for number in range(100):
        s.pod_ip(f"route add 10.9.{number}.0/24 via 10.1.0.1")
    s.wait_routes()
    calls = len(s.calls()) - before
    expect(calls <= 30, f"{calls} calls for 100 routes")


if __name__ == "__main__":
    main()
