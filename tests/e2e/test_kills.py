# SPDX-License-Identifier: Apache-2.0
"""
Killed 300 times at random instants, in the middle of an op too, while links, addresses and routes come and go.

Whatever happens: when it falls quiet, the guest has what the pod has; each kill has at most one op told twice, the
one that was in flight; no two ops run at a time, also when the first is a dead monitor's; none is lost.
NETMON_SEED=N repeats the choices, though not the scheduler's; NETMON_KILLS=N is another number of kills.
"""

import os
import signal
import time

from harness import SLOWNESS, Failure, Monitor, case, expect, expect_equal, main, seed, wait

KILLS = int(os.environ.get("NETMON_KILLS") or 300)
KILLS_A_CHECK = 10
LINKS_MAX = 6
DELAY_MSEC_MAX = 6
# A start takes about 5 ms, an op 2 ms and the stub's delay: so kills fall on all of it.
LIFE_MSEC_MAX = 30 if SLOWNESS == 1 else 120


class Pod:
    """Changes of a pod, as lines for ip(8)."""

    def __init__(self, sandbox, random):
        self.s, self.random = sandbox, random
        self.links = {}  # name -> set of addresses
        self.routes = {}  # destination -> link
        self.made = 0

    def add_link(self):
        if len(self.links) >= LINKS_MAX:
            return []
        self.made += 1
        name, number = f"e{self.made}", self.made
        address = f"10.{number % 200 + 20}.{number // 200}.2/24"
        self.links[name] = {address}
        lines = [f"link add {name} address 02:00:00:ee:{number >> 8:02x}:{number & 255:02x} type veth peer name p{number} netns {self.s.peers}"]
        rest = [f"addr add {address} dev {name}", f"link set {name} up"]
        if self.random.random() < 0.5:
            rest.reverse()
        return lines + rest

    def delete_link(self):
        if not self.links:
            return []
        name = self.random.choice(sorted(self.links))
        del self.links[name]
        self.routes = {dest: link for dest, link in self.routes.items() if link != name}
        return [f"link del {name}"]

    def add_address(self):
        if not self.links:
            return []
        name = self.random.choice(sorted(self.links))
        if len(self.links[name]) > 3:
            return []
        first = sorted(self.links[name])[0].split(".")
        address = f"10.{first[1]}.{first[2]}.{self.random.randrange(10, 250)}/24"
        if address in self.links[name]:
            return []
        self.links[name].add(address)
        return [f"addr add {address} dev {name}"]

    def delete_address(self):
        # Not the first: with that go its subnet's others, and the routes by its gateway.
        some = [(name, address) for name, addresses in sorted(self.links.items()) for address in sorted(addresses)
                if not address.endswith(".2/24")]
        if not some:
            return []
        name, address = self.random.choice(some)
        self.links[name].remove(address)
        return [f"addr del {address} dev {name}"]

    def add_route(self):
        dest = f"10.10.{self.random.randrange(256)}.0/24"
        if dest in self.routes:
            return []
        self.routes[dest] = name = self.random.choice(["eth0", *sorted(self.links)])
        return [f"route add {dest} dev {name}"]

    def delete_route(self):
        if not self.routes:
            return []
        dest = self.random.choice(sorted(self.routes))
        del self.routes[dest]
        return [f"route del {dest}"]

    def change(self, most):
        """A few changes at once."""
        before = self.made
        choices = [self.add_link, self.add_link, self.delete_link, self.add_address, self.delete_address, self.add_route,
                   self.add_route, self.delete_route]
        lines = [line for _ in range(self.random.randrange(most + 1)) for line in self.random.choice(choices)()]
        if lines:
            # A link's route comes before it is up, or its link is gone already: no matter, the truth is asked for at the end.
            self.s.pod_ip(*lines, ok=False)
        if self.made > before:
            self.s.peers_ip(*(f"link set p{number} up" for number in range(before + 1, self.made + 1)), ok=False)


def start(s):
    return Monitor(s, s.argv("--on-change", "replug", "--log-target", "stderr", "--audit", s.path("audit")), netns=s.pod)


def kill(s, m, random):
    """Sometimes what it started goes with it, in the middle of what it did, or the group of both."""
    os.kill(m.pid, signal.SIGKILL)
    if random.random() < 0.3:
        for call in s.calls():
            if call.status is None and call.pid > m.pid:
                try:
                    os.kill(call.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
    m.process.wait()


def one_round(s, pod, m, random, kills):
    s.knob("delay_msec", random.randrange(DELAY_MSEC_MAX))
    s.knob("delay_after_msec", random.randrange(2))
    for _ in range(kills):
        pod.change(3)
        time.sleep(random.random() * LIFE_MSEC_MAX / 1000)
        kill(s, m, random)
        if random.random() < 0.3:
            pod.change(3)
        m = start(s)
    return m


# ---- what the log of calls must look like ----


def same_op(a, b):
    """Would telling b after a be telling a twice?"""
    if a.verb != b.verb:
        return False
    return a.document == b.document if a.verb == "update-routes" else a.iface.mac == b.iface.mac


def lives(s):
    """{pid of a call: number of the monitor that made it}. In a young PID namespace pids only grow."""
    starts = [m.pid for m in s.monitors]
    return lambda call: sum(pid < call.pid for pid in starts)


def repeats(ops):
    """Pairs of calls that said the same, with nothing between that makes it worth saying again."""
    last = {}  # of each object the call that spoke of it last
    for op in ops:
        key = "routes" if op.verb == "update-routes" else op.iface.mac
        if key in last and same_op(last[key], op):
            yield last[key], op
        last[key] = op
        if op.verb != "update-routes":
            last.pop("routes", None)  # what a guest's routes are after that, nobody knows: all are told again


def check_calls(s):
    ops = [call for call in s.calls() if call.verb != "list-ifaces"]
    life_of = lives(s)
    last_of_life = {life_of(op): op for op in ops}
    for first, second in repeats(ops):
        what = f"\n  {first}\n  {second}"
        expect(life_of(first) < life_of(second), "told twice by one monitor:" + what)
        expect(last_of_life[life_of(first)] is first, "told twice, and was not the last op before the kill:" + what)
    for before, after in zip(ops, ops[1:]):
        if before.end_usec is not None and after.begin_usec < before.end_usec:
            raise Failure(f"two at a time:\n  {before}\n  {after}")
    for op in ops:
        expect(op.status in (0, None), f"refused: {op}")
    return sum(1 for _ in repeats(ops)), len(ops)


@case
def kills_300_and_each_converges(s):
    random = seed()
    s.eth0()
    m = start(s)
    wait(lambda: s.done("update-routes"), "the first route set")
    pod = Pod(s, random)
    for begun in range(0, KILLS, KILLS_A_CHECK):
        m = one_round(s, pod, m, random, min(KILLS_A_CHECK, KILLS - begun))
        s.wait_true(20)
        s.calm(0.3)
        s.wait_true(1)
        check_calls(s)
    again, ops = check_calls(s)
    print(f"# {KILLS} kills, {ops} ops, {again} of them told twice, {len(s.calls('list-ifaces'))} questions, {pod.made} links")
    expect_equal(m.is_alive(), True, "the last monitor is alive")


if __name__ == "__main__":
    main()
