# SPDX-License-Identifier: Apache-2.0
"""Links and addresses: what is told when, how often, and what is no reason to tell anything."""

import time

from harness import (SLOWNESS, add_addresses, case, expect, expect_equal, ip, ip_argv, ip_json, main, now_usec, wait)


def added(name, *addresses):
    return "add-iface", name, sorted(addresses)


def deleted(name, *addresses):
    return "del-iface", name, sorted(addresses)


def wait_carrier(s, name):
    """A link that is up and has carrier, as the pod sees it."""
    def has_carrier():
        return {"UP", "LOWER_UP"} <= set(ip_json(s.pod, "link", "show", "dev", name)[0]["flags"])
    wait(has_carrier, f"{name} is up")


def ifindex_of(s, name):
    return ip_json(s.pod, "link", "show", "dev", name)[0]["ifindex"]


def last_call(s, verb):
    return s.done(verb)[-1]


def start_with_eth1(s, *options):
    """A monitor that has told of eth1. Its MAC."""
    s.eth0()
    m = s.start_told(*options)
    mac = s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24")])
    return m, mac


# ---- settling ----


@case
def link_in_cni_order_dual_stack_is_told_once(s):
    """Up first, then both families within the settling time: one add-iface with both."""
    s.eth0()
    s.start_told()
    mac = s.veth("eth1", mtu=1400)
    wait_carrier(s, "eth1")
    add_addresses(s.pod, "eth1", "10.1.0.2/24", "2001:db8:1::2/64")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24", "2001:db8:1::2/64")])
    iface = last_call(s, "add-iface").iface
    expect_equal((iface.mac, iface.mtu, iface.kind), (mac, 1400, "veth"), "the document")
    s.quiet("once is enough", 1.5)  # DAD ends within that


@case
def link_in_docker_order_is_told_at_once(s):
    """Addressed first, then up."""
    s.eth0()
    s.start_told()
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}", "addr add 2001:db8:1::2/64 dev {}", up=False)
    s.quiet("a link that is down")
    before = now_usec()
    s.pod_ip("link set eth1 up")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24", "2001:db8:1::2/64")])
    took = last_call(s, "add-iface").begin_usec - before
    expect(took < 200_000 * SLOWNESS, f"told after {took} us: it waited for what it had")


@case
def link_without_address_is_told_after_settling(s):
    s.eth0()
    s.start_told()
    before = now_usec()
    s.veth("eth1")
    s.wait_iface_calls([added("eth1")])
    took = last_call(s, "add-iface").begin_usec - before
    expect(450_000 < took < 1_500_000 * SLOWNESS, f"told after {took} us, --settle is 500 ms")


@case
def link_settle_0_waits_for_nothing(s):
    s.eth0()
    s.start_told("--settle", "0")
    before = now_usec()
    s.veth("eth1")
    s.wait_iface_calls([added("eth1")])
    took = last_call(s, "add-iface").begin_usec - before
    expect(took < 300_000 * SLOWNESS, f"told after {took} us")


@case
def link_family_that_comes_2_s_later_is_one_replug(s):
    s.eth0()
    s.start_told()
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24")])
    s.quiet("nothing to tell", 2)
    add_addresses(s.pod, "eth1", "2001:db8:1::2/64")
    told = [added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24"),
            added("eth1", "10.1.0.2/24", "2001:db8:1::2/64")]
    s.wait_iface_calls(told)
    s.quiet("one replug is enough", 1.5)
    s.pod_ip("addr add 2001:db8:1::3/64 dev eth1", "addr add 10.1.0.3/24 dev eth1")
    s.wait_audit("change-ignored", kind="drift", interface="eth1")
    s.quiet("no family is new any more")
    expect_equal(s.iface_calls(), told, "calls")


# ---- changes ----


@case
def link_change_is_kept_as_drift(s):
    start_with_eth1(s)
    s.quiet("all is told")
    s.pod_ip("addr add 10.1.0.3/24 dev eth1")
    s.wait_audit("change-ignored", kind="drift", interface="eth1")
    s.pod_ip("link set eth1 mtu 1300")
    s.pod_ip("link set eth1 address 02:00:00:00:99:99")
    s.quiet("--on-change ignore")
    expect_equal(s.iface_calls(), [added("eth1", "10.1.0.2/24")], "calls")


@case
def link_change_is_a_replug_when_asked_for(s):
    _, mac = start_with_eth1(s, "--on-change", "replug")
    told = [added("eth1", "10.1.0.2/24")]
    s.pod_ip("addr add 10.1.0.3/24 dev eth1")
    told += [deleted("eth1", "10.1.0.2/24"), added("eth1", "10.1.0.2/24", "10.1.0.3/24")]
    s.wait_iface_calls(told, "an address more")
    s.pod_ip("addr del 10.1.0.2/24 dev eth1", "addr add 10.1.0.3/24 dev eth1", ok=False)
    told += [deleted("eth1", "10.1.0.2/24", "10.1.0.3/24"), added("eth1", "10.1.0.3/24")]
    s.wait_true()
    s.wait_iface_calls(told[:-1] + s.iface_calls()[-1:], "an address less")
    calls = len(told)
    s.pod_ip("link set eth1 mtu 1300")
    wait(lambda: len(s.iface_calls()) == calls + 2, "replug for the MTU")
    expect_equal((last_call(s, "del-iface").iface.mtu, last_call(s, "add-iface").iface.mtu), (1500, 1300), "MTU")
    s.pod_ip("link set eth1 address 02:00:00:00:99:99")
    wait(lambda: len(s.iface_calls()) == calls + 4, "replug for the MAC")
    expect_equal((last_call(s, "del-iface").iface.mac, last_call(s, "add-iface").iface.mac), (mac, "02:00:00:00:99:99"), "MAC")
    s.pod_ip("link set eth1 down", "link set eth1 name net1", "link set net1 up")
    wait(lambda: len(s.iface_calls()) == calls + 6, "replug for the name")
    expect_equal((last_call(s, "del-iface").iface.name, last_call(s, "add-iface").iface.name), ("eth1", "net1"), "name")
    s.wait_true()
    s.quiet("each change is one replug")


@case
def link_flap_of_carrier_is_no_unplug(s):
    start_with_eth1(s)
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1 dev eth1")
    s.wait_routes()
    for _ in range(3):
        s.peers_ip("link set p-eth1 down")
        wait(lambda: "NO-CARRIER" in str(ip_json(s.pod, "link", "show", "dev", "eth1")), "carrier goes")
        s.peers_ip("link set p-eth1 up")
        wait_carrier(s, "eth1")
    s.quiet("a flap")
    s.peers_ip("link set p-eth1 down")
    s.quiet("no carrier", 1)
    expect_equal(s.iface_calls(), [added("eth1", "10.1.0.2/24")], "calls")
    expect(("10.9.0.0/16" in str(s.guest_routes())), "the route over a link without carrier was withdrawn")


@case
def link_down_and_up_is_no_unplug(s):
    start_with_eth1(s)
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1 dev eth1")
    s.wait_routes()
    s.pod_ip("link set eth1 down")
    s.wait_routes()
    expect("10.9.0.0/16" not in str(s.guest_routes()), "the kernel keeps a route over a link that is down?")
    s.pod_ip("link set eth1 up", "route add 10.9.0.0/16 via 10.1.0.1 dev eth1")
    s.wait_routes()
    expect_equal(s.iface_calls(), [added("eth1", "10.1.0.2/24")], "calls")


@case
def link_renamed_keeps_its_name_in_the_guest(s):
    """Without updates the guest knows the old name: routes go by it, and so does the end."""
    _, mac = start_with_eth1(s)
    s.pod_ip("link set eth1 down", "link set eth1 name net1", "link set net1 up")
    s.wait_audit("change-ignored", kind="drift", interface="net1")
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1 dev net1")
    wait(lambda: ("10.9.0.0/16", "eth1") in [(r.dest, r.device) for r in s.guest_routes()], "the route, by the old name")
    s.pod_ip("link del net1")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24")])
    expect_equal(last_call(s, "del-iface").iface.mac, mac, "MAC")
    s.wait_true()


@case
def link_renamed_before_it_is_up(s):
    """As CNI plugins do: made by a temporary name in the pod, renamed, then up."""
    s.eth0()
    s.start_told()
    s.veth("tmp0", up=False)
    s.pod_ip("link set tmp0 name eth1", "addr add 10.1.0.2/24 dev eth1", "link set eth1 up")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24")])
    s.quiet("once")


# ---- ends ----


@case
def link_deleted_from_the_other_end(s):
    _, mac = start_with_eth1(s)
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1 dev eth1")
    s.wait_routes()
    before = len(s.calls())
    s.peers_ip("link del p-eth1")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24")])
    expect_equal(last_call(s, "del-iface").iface.mac, mac, "MAC")
    s.wait_true()
    s.quiet("it is gone")
    expect_equal([call.verb for call in s.calls()[before:]], ["del-iface", "update-routes"], "one of each, in this order")


@case
def link_that_was_cold_plugged_is_deleted(s):
    mac = s.eth0()
    s.start_told()
    s.pod_ip("link del eth0")
    s.wait_iface_calls([deleted("eth0", "172.17.0.2/16")])
    expect_equal(last_call(s, "del-iface").iface.mac, mac, "MAC")
    s.wait_true()


@case
def link_replaced_by_another_of_its_name(s):
    start_with_eth1(s)
    s.links += 1
    ip(s.pod, "link del eth1", f"link add eth1 address 02:00:00:00:77:77 type veth peer name q-eth1 netns {s.peers}",
       "addr add 10.1.0.9/24 dev eth1", "link set eth1 up")
    s.peers_ip("link set q-eth1 up")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24"), added("eth1", "10.1.0.9/24")])
    expect_equal(last_call(s, "add-iface").iface.mac, "02:00:00:00:77:77", "MAC")
    s.wait_true()


@case
def link_replaced_by_another_of_its_name_and_mac(s):
    _, mac = start_with_eth1(s)
    ip(s.pod, "link del eth1", f"link add eth1 address {mac} type veth peer name q-eth1 netns {s.peers}",
       "addr add 10.1.0.2/24 dev eth1", "link set eth1 up")
    s.peers_ip("link set q-eth1 up")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24"), added("eth1", "10.1.0.2/24")])
    s.wait_true()


@case
def link_moved_out_and_back_in(s):
    """Its number and its MAC are the same, but its datapath is gone."""
    start_with_eth1(s)
    index, away = ifindex_of(s, "eth1"), s.namespace(f"away{s.number}")
    s.pod_ip(f"link set eth1 netns {away}")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24")])
    ip(away, f"link set eth1 netns {s.pod}")
    expect_equal(ifindex_of(s, "eth1"), index, "ifindex")
    s.pod_ip("addr add 10.1.0.2/24 dev eth1", "link set eth1 up")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24"), added("eth1", "10.1.0.2/24")])
    s.wait_true()


@case
def link_moved_out_and_back_in_unseen(s):
    """So fast that a dump may not show it away."""
    start_with_eth1(s)
    index, away = ifindex_of(s, "eth1"), s.namespace(f"away{s.number}")
    s.pod_ip(f"link set eth1 netns {away}")
    ip(away, f"link set eth1 netns {s.pod}")
    s.pod_ip("addr add 10.1.0.2/24 dev eth1", "link set eth1 up")
    expect_equal(ifindex_of(s, "eth1"), index, "ifindex")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24"), added("eth1", "10.1.0.2/24")])
    s.wait_true()


@case
def link_that_comes_and_goes_before_it_is_told(s):
    s.eth0()
    s.start_told()
    for _ in range(20):
        s.veth("eth1")
        s.pod_ip("link del eth1")
    s.quiet("it never was", 0.8)
    expect_equal(s.iface_calls(), [], "calls")


# ---- what is not told ----


@case
def link_bridge_port_messages_are_no_links(s):
    """RTM_*LINK of AF_BRIDGE; the original unplugged a link that left a bridge."""
    start_with_eth1(s)
    for _ in range(3):
        s.pod_ip("link add br0 type bridge", "link set br0 up", "link set eth1 master br0",
                 "link set eth1 nomaster", "link del br0")
    s.pod_ip("link add br0 type bridge", "link set br0 up", "link set eth1 master br0")
    s.quiet("a bridge port", 0.8)
    s.pod_ip("link set eth1 nomaster")
    s.quiet("no bridge port")
    expect_equal(s.iface_calls(), [added("eth1", "10.1.0.2/24")], "calls")
    expect_equal(len([r for r in s.audit(kind="drift", interface="br0") if "not-pluggable" in r["reason"]][-1:]), 1,
                 "the bridge in the audit")


@case
def link_that_can_not_be_plugged_is_audited_once(s):
    s.eth0()
    s.start_told()
    s.pod_ip("link add br0 type bridge", "link set br0 up", "addr add 10.7.0.1/24 dev br0")
    s.wait_audit("not-pluggable", kind="drift", interface="br0")
    for _ in range(3):
        s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
        wait(lambda: len(s.guest_ifaces()) == 2, "eth1 comes")
        s.pod_ip("link del eth1")
        wait(lambda: len(s.guest_ifaces()) == 1, "eth1 goes")
    # Of its addresses a bridge without ports knows nothing that would make it another value.
    count = len(s.audit(kind="drift", interface="br0"))
    expect(count <= 2, f"audited {count} times")
    expect(not [c for c in s.iface_calls() if c[1] == "br0"], "the bridge was told")


@case
def link_in_a_bridge_is_not_told(s):
    s.eth0()
    s.start_told()
    s.pod_ip("link add br0 type bridge", "link set br0 up")
    s.veth("eth1", "link set {} master br0")
    s.quiet("a bridge port", 0.8)
    s.pod_ip("link set eth1 nomaster")
    s.quiet("it settles from now on, however long it has been up", 0.1)
    s.pod_ip("addr add 10.1.0.2/24 dev eth1")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24")])


@case
def link_pair_within_the_pod_is_not_told(s):
    s.eth0()
    s.start_told()
    s.pod_ip("link add in0 type veth peer name in1", "addr add 10.3.0.1/24 dev in0", "link set in0 up", "link set in1 up")
    s.quiet("both ends are in the pod", 0.8)


@case
def link_names_of_the_runtime_are_not_told(s):
    """One rule for what comes and what goes: they end in "kata"."""
    s.eth0()
    s.start_told("--ignore", "x*", "--ignore", "skip?")
    s.pod_ip("tuntap add dev tap0_kata mode tap", "link set tap0_kata up")
    s.veth("br0_kata", "addr add 10.3.0.2/24 dev {}")
    s.veth("x1", "addr add 10.4.0.2/24 dev {}")
    s.veth("skip1", "addr add 10.5.0.2/24 dev {}")
    s.quiet("the runtime's own and the ignored", 0.8)
    s.pod_ip("link del br0_kata", "link del x1", "link del tap0_kata")
    s.quiet("gone")
    s.veth("katamid0", "addr add 10.6.0.2/24 dev {}")
    s.wait_iface_calls([added("katamid0", "10.6.0.2/24")])
    s.pod_ip("link del katamid0")
    s.wait_iface_calls([added("katamid0", "10.6.0.2/24"), deleted("katamid0", "10.6.0.2/24")])


@case
def link_kinds_are_chosen(s):
    s.eth0()
    s.start_told("--kinds", "tap,macvlan")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_audit("not-pluggable", kind="drift", interface="eth1")
    s.pod_ip("link add mv0 link eth1 type macvlan", "addr add 10.2.0.2/24 dev mv0", "link set mv0 up")
    s.wait_iface_calls([added("mv0", "10.2.0.2/24")])


@case
def link_tap_without_reader_is_told(s):
    """Its reader is the VMM that is about to be attached: it has no carrier before."""
    s.eth0()
    s.start_told()
    s.pod_ip("tuntap add dev tap7 mode tap", "addr add 10.7.0.2/24 dev tap7", "link set tap7 up")
    s.wait_iface_calls([added("tap7", "10.7.0.2/24")])
    s.wait_true()


@case
def link_with_a_mac_that_is_taken(s):
    """MAC is the guest's key."""
    _, mac = start_with_eth1(s)
    s.veth("eth2", "addr add 10.2.0.2/24 dev {}", mac=mac)
    s.wait_audit("duplicate-mac", kind="drift", interface="eth2")
    s.quiet("its MAC is taken")
    s.pod_ip("link del eth1")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24"), added("eth2", "10.2.0.2/24")])


@case
def link_local_addresses_only_when_asked_for(s):
    s.eth0()
    s.start_told("--link-local")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}", "addr add fe80::7/64 dev {} nodad", "link set {} addrgenmode none", up=False)
    s.pod_ip("link set eth1 up")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24", "fe80::7/64")])


@case
def link_address_that_dad_refused_is_not_told(s):
    s.eth0()
    s.start_told("--on-change", "replug")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24")])
    s.peers_ip("addr add 2001:db8:1::2/64 dev p-eth1 nodad")
    s.pod_ip("addr add 2001:db8:1::2/64 dev eth1")
    wait(lambda: "dadfailed" in str(ip_json(s.pod, "addr", "show", "dev", "eth1")), "DAD fails", 15)
    wait(lambda: s.iface_calls()[-1] == added("eth1", "10.1.0.2/24"), "the address is withdrawn")
    s.quiet("it has no more to say")


# ---- names ----


@case
def link_names_are_escaped(s):
    """In the document as Go does it, in the audit so that no line and no field is forged."""
    s.eth0()
    s.start_told()
    names = ['e<&>"1', "e\\ü=2", "e\x01\x1b[31m", "a=b\"c='d"]
    for number, name in enumerate(names):
        mac = f"02:00:00:00:66:{number:02x}"
        ip_argv(s.pod, "link", "add", name, "address", mac, "type", "veth", "peer", "name", f"odd{number}", "netns", s.peers)
        s.peers_ip(f"link set odd{number} up")
        ip_argv(s.pod, "addr", "add", f"10.{number + 1}.0.2/24", "dev", name)
        ip_argv(s.pod, "link", "set", name, "up")
        wait(lambda: mac in s.guest_ifaces(), f"link {name!r}")
        expect_equal(s.guest_ifaces()[mac].name, name, "name in the document")
    wait(lambda: len(s.audit(op="add-link", result="done")) == len(names), "a record of each")
    with open(s.path("audit"), "rb") as file:
        data = file.read()
    expect(all(byte == 10 or 32 <= byte < 127 for byte in data), f"control bytes in the audit: {data!r}")
    expect(all(list(r)[:4] == ["time", "kind", "sandbox", "op"] for r in s.audit()), "fields of the records")


# ---- in between ----


@case
def link_told_while_the_runtime_is_slow(s):
    """What changes meanwhile replaces what is unsent."""
    s.eth0()
    s.start_told()
    s.knob("delay_msec", 400)
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    wait(lambda: s.calls("add-iface"), "a call")
    for _ in range(3):
        s.veth("eth2", "addr add 10.2.0.2/24 dev {}")
        s.pod_ip("link del eth2")
    s.pod_ip("link del eth1")
    s.unknob("delay_msec")
    s.wait_iface_calls([added("eth1", "10.1.0.2/24"), deleted("eth1", "10.1.0.2/24")])
    s.wait_true()


@case
def link_told_promptly(s):
    """NIC ready to runtime's main(), no promise here but an order of magnitude."""
    s.eth0()
    s.start_told()
    times = []
    for number in range(10):
        s.veth("eth1", f"addr add 10.1.{number}.2/24 dev {{}}", up=False)
        time.sleep(0.05)
        before = now_usec()
        s.pod_ip("link set eth1 up")
        wait(lambda: len(s.done("add-iface")) == number + 1, "told")
        times.append(last_call(s, "add-iface").begin_usec - before)
        s.pod_ip("link del eth1")
        wait(lambda: len(s.done("del-iface")) == number + 1, "told")
    expect(sorted(times)[5] < 60_000 * SLOWNESS, f"{sorted(times)} us from `ip link set up` to the runtime's main()")


if __name__ == "__main__":
    main()
