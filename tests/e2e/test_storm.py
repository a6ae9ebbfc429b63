# SPDX-License-Identifier: Apache-2.0
"""Many things at once: all of it is told, once, in few calls, also when the kernel could not say it all."""

import os
import re
import signal

from harness import case, expect, expect_equal, main, now_usec, wait


def dest(number):
    return f"10.{64 + number // 65536}.{number // 256 % 256}.{number % 256}/32"


def peers_of_pod(s, count):
    """Lines that make the links up and addressed in the order of CNI."""
    for number in range(count):
        yield f"link add v{number} address 02:00:00:aa:{number >> 8:02x}:{number & 255:02x} type veth peer name p{number} netns {s.peers}"
        yield f"link set v{number} up"
        yield f"addr add 10.{number // 200 + 100}.{number % 200}.2/24 dev v{number}"


@case
def storm_of_200_veths_is_200_calls(s):
    s.eth0()
    s.start_told()
    before = len(s.calls("update-routes"))
    s.pod_ip(*peers_of_pod(s, 200))
    s.peers_ip(*(f"link set p{number} up" for number in range(200)))
    s.wait_true(60)
    s.quiet("all is told")
    calls = s.calls("add-iface", "del-iface")
    expect_equal(len(calls), 200, "calls with links")
    expect_equal(len({call.iface.mac for call in calls}), 200, "links that were told")
    expect(all(len(call.iface.addresses) == 1 for call in calls), "a link was told without its address")
    routes = len(s.calls("update-routes")) - before
    expect(routes <= 10, f"{routes} route sets")
    s.pod_ip(*(f"link del v{number}" for number in range(200)))
    s.wait_true(60)
    expect_equal(len(s.done("del-iface")), 200, "calls with links that went")


@case
def storm_of_200_veths_with_a_slow_runtime(s):
    """The kernel is read while the runtime works: what went meanwhile is never told."""
    s.eth0()
    s.start_told()
    s.knob("delay_msec", 50)
    s.pod_ip(*peers_of_pod(s, 200))
    s.peers_ip(*(f"link set p{number} up" for number in range(200)))
    wait(lambda: len(s.done("add-iface")) >= 5, "a few are told")
    s.pod_ip(*(f"link del v{number}" for number in range(10, 200)))
    s.wait_true(30)
    expect(len(s.calls("add-iface")) < 150, f"{len(s.calls('add-iface'))} links were told, most of which were gone")


@case
def storm_of_2000_routes_is_few_calls(s):
    s.eth0()
    s.start_told()
    before, begin = len(s.calls()), now_usec()
    s.pod_ip(*(f"route add {dest(number)} via 172.17.0.1" for number in range(2000)))
    s.wait_routes(20)
    print(f"# 2,000 routes told {(s.done('update-routes')[-1].end_usec - begin) // 1000} ms after the first was made")
    expect(len(s.calls()) - before <= 10, f"{len(s.calls()) - before} calls")
    expect_equal(len(s.guest_routes()), 2001, "routes")
    before = len(s.calls())
    s.pod_ip(*(f"route del {dest(number)}" for number in range(0, 2000, 2)))
    s.wait_routes(20)
    expect(len(s.calls()) - before <= 10, f"{len(s.calls()) - before} calls")
    s.pod_ip("link set eth0 down")
    wait(lambda: s.guest_routes() == set(), "none is left")


@case
def storm_that_overruns_the_buffer(s):
    """The kernel drops what it would say; what it knows is read again."""
    s.eth0()
    m = s.start_told("--receive-buffer", "4096")
    s.pod_ip(*peers_of_pod(s, 50))
    s.peers_ip(*(f"link set p{number} up" for number in range(50)))
    s.pod_ip(*(f"route add {dest(number)} via 172.17.0.1" for number in range(3000)))
    s.pod_ip(*(f"route del {dest(number)}" for number in range(0, 3000, 2)))
    s.pod_ip(*(f"link del v{number}" for number in range(25)))
    s.wait_audit("overrun", kind="resync", op="resync")
    s.wait_true(60)
    s.quiet("all is told")
    expect(m.is_alive(), "it ended")


@case
def storm_while_nothing_may_be_told(s):
    """A runtime that is not ready: a storm comes and goes, and leaves one set to tell."""
    s.eth0()
    s.knob("not-running")
    s.start()
    for _ in range(3):
        s.pod_ip(*(f"route add {dest(number)} via 172.17.0.1" for number in range(500)))
        s.pod_ip(*(f"route del {dest(number)}" for number in range(500)))
    s.unknob("not-running")
    s.wait_routes(30)
    s.quiet("once")
    expect_equal(len(s.done("update-routes")), 1, "route sets")


@case
def storm_of_neighbours_is_no_work(s):
    """An ARP flood: neighbours of no gateway are nobody's business."""
    s.eth0()
    m = s.start_told()
    for _ in range(3):
        s.pod_ip(*(f"neigh add 172.17.{number // 200}.{number % 200 + 3} lladdr 02:00:00:00:00:01 nud reachable dev eth0"
                   for number in range(800)))
        s.pod_ip("neigh flush dev eth0 nud reachable")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24"])], seconds=3)
    s.quiet("nothing else")
    expect(m.is_alive(), "it ended")


def switches(monitor):
    with open(f"/proc/{monitor.pid}/status", encoding="utf-8") as file:
        return sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", file.read())))


@case
def storm_of_neighbours_wakes_nobody(s):
    """An ARP flood ends in its own small socket: a look every 250 ms, and links are told as ever."""
    s.eth0()
    monitor = s.start_told()
    s.quiet("all is told")
    before, begin = switches(monitor), now_usec()
    lines = [f"neigh replace 172.17.1.{n % 200} lladdr 02:00:00:00:01:{n % 250:02x} dev eth0 nud reachable" for n in range(20000)]
    s.pod_ip(*lines)
    seconds = (now_usec() - begin) / 1e6
    # a look is a few switches; a wake-up a change would be 20,000
    expect(switches(monitor) - before < 200 + 100 * seconds, f"{switches(monitor) - before} wake-ups in {seconds:.1f} s")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_true()


@case
def storm_without_end_is_told(s):
    """A namespace that is never quiet: what comes is told all the same."""
    s.eth0()
    s.start_told()
    s.quiet("all is told")
    busy = s.busy(*(line for n in range(200) for line in
                    (f"route add {dest(n)} via 172.17.0.1", f"route del {dest(n)} via 172.17.0.1")))
    s.pod_ip("route add 10.9.0.0/16 via 172.17.0.1")
    wait(lambda: ("10.9.0.0/16", "172.17.0.1", "eth0", "", 0) in s.guest_routes(), "the route that came")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    wait(lambda: s.done("add-iface"), "the link that came")
    expect(busy.poll() is None, "the namespace had become quiet")
    os.killpg(busy.pid, signal.SIGKILL)
    s.pod_ip("route flush proto boot via 172.17.0.1", "route replace default via 172.17.0.1",
             "route replace 10.9.0.0/16 via 172.17.0.1")
    s.wait_true(20)


if __name__ == "__main__":
    main()
