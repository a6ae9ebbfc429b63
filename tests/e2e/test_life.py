# SPDX-License-Identifier: Apache-2.0
"""The life of a monitor: one a sandbox, what it leaves to a successor, and its end with its sandbox."""

import os
import re
import shutil
import signal
import subprocess

from harness import SLOWNESS, STATE_DIR, Monitor, case, command_of, expect, expect_equal, main, now_usec, run, wait

ETH1 = ("add-iface", "eth1", ["10.1.0.2/24"])
SIGTERM_MSEC_MAX = 100


def eth1(s):
    return s.veth("eth1", "addr add 10.1.0.2/24 dev {}")


def start_with_eth1(s, *options):
    """A monitor at rest that has told of eth1 and a route over it."""
    s.eth0()
    m = s.start_told(*options)
    eth1(s)
    s.wait_iface_calls([ETH1])
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1")
    s.wait_true()
    at_rest(s)
    return m


def at_rest(s):
    """The last op is known to be done: it is in the audit."""
    wait(lambda: len(s.audit(kind="op", result="done")) == len(s.done("add-iface", "del-iface", "update-routes")), "the audit")


def expect_term(m):
    status, msec = m.term()
    expect_equal(status, 0, "exit status after SIGTERM")
    expect(SLOWNESS > 1 or msec < SIGTERM_MSEC_MAX, f"SIGTERM took {msec} ms")


# ---- one a sandbox ----


@case
def life_newcomer_takes_over(s):
    old = start_with_eth1(s)
    before = len(s.calls())
    new = s.start()
    expect_equal(old.ended(), 0, "exit status of the older")
    wait(lambda: s.audit(op="start", result="taken-over"), "it is audited")
    s.quiet("nothing is told twice")
    expect_equal(len(s.calls()), before, "calls")
    s.veth("eth2", "addr add 10.2.0.2/24 dev {}")
    s.wait_iface_calls([ETH1, ("add-iface", "eth2", ["10.2.0.2/24"])])
    expect(new.is_alive(), "the newer ended")


@case
def life_newcomer_in_the_middle_of_an_op(s):
    s.eth0()
    old = s.start_told()
    s.knob("delay_msec", 500)
    eth1(s)
    wait(lambda: s.calls("add-iface"), "an op")
    s.start()
    expect_equal(old.ended(), 0, "exit status of the older")
    s.unknob("delay_msec")
    s.wait_true()
    s.quiet("all is told")
    expect_equal([(c.iface.name, c.status) for c in s.calls("add-iface")], [("eth1", 0)], "it is told once")
    expect(not [c for c in s.calls() if c.overlap], "two calls at a time")


@case
def life_many_newcomers(s):
    s.eth0()
    s.start_told()
    eth1(s)
    s.wait_iface_calls([ETH1])
    at_rest(s)
    some = [s.start(wait_started=False) for _ in range(5)]
    wait(lambda: sum(m.is_alive() for m in s.monitors) == 1, "one is left")
    expect(any(m.is_alive() for m in some), "the first is left")
    s.veth("eth2", "addr add 10.2.0.2/24 dev {}")
    s.wait_iface_calls([ETH1, ("add-iface", "eth2", ["10.2.0.2/24"])])


@case
def life_newcomer_ends_one_that_hangs(s):
    """SIGSTOP: SIGTERM does not reach it, SIGKILL does."""
    old = start_with_eth1(s)
    old.process.send_signal(signal.SIGSTOP)
    s.start()
    expect_equal(old.ended(), -signal.SIGKILL, "exit status of the older")
    s.pod_ip("route add 10.8.0.0/16 via 10.1.0.1")
    s.wait_true()


@case
def life_lock_held_by_another_program(s):
    """It is not touched, and we say so."""
    s.eth0()
    os.makedirs(s.state_path())
    s.children.append(subprocess.Popen(["flock", "-x", s.state_path("lock"), "sleep", "1000000"]))
    wait(lambda: os.path.exists(s.state_path("lock")), "the lock file")
    with open(s.state_path("lock"), "w", encoding="utf-8") as file:
        ticks = open(f"/proc/{s.children[-1].pid}/stat", encoding="utf-8").read().rpartition(")")[2].split()[19]
        file.write(f"{s.children[-1].pid} {ticks}\n")
    m = s.start(wait_started=False)
    expect_equal(m.ended(), 1, "exit status")
    expect("another program" in m.stderr(), f"stderr {m.stderr()!r}")
    expect_equal(s.children[-1].poll(), None, "the other program was ended")


# ---- signals ----


@case
def life_sigterm_leaves_state_for_a_successor(s):
    m = start_with_eth1(s)
    expect_term(m)
    expect(not os.path.exists(s.state_path("shared.json")), "shared.json is left")
    expect(os.path.exists(s.state_path("state")), "the state is gone")
    wait(lambda: s.audit(op="end", result="stopped"), "it is audited")
    before = len(s.calls())
    m = s.start()
    s.quiet("nothing is new")
    expect_equal(len(s.calls()), before, "calls of the successor")
    m.process.send_signal(signal.SIGINT)
    expect_equal(m.ended(), 0, "exit status after SIGINT")


@case
def life_sigterm_in_the_middle_of_an_op(s):
    """At once; the runtime goes on, and the successor waits for it."""
    s.eth0()
    m = s.start_told()
    s.knob("delay_msec", 600)
    eth1(s)
    call = wait(lambda: s.calls("add-iface"), "an op")[0]
    expect_term(m)
    expect(not os.path.exists(s.state_path("shared.json")), "shared.json is left")
    s.start()
    wait(lambda: s.calls() and call.status == 0, "the runtime was not ended with us")
    s.wait_true()
    s.quiet("all is told")
    expect_equal(len(s.calls("add-iface")), 1, "calls of add-iface")


@case
def life_sigterm_while_the_runtime_hangs(s):
    s.eth0()
    s.knob("hang")
    m = s.start()
    wait(lambda: s.calls(), "a call")
    expect_term(m)


@case
def life_sigterm_in_a_storm(s):
    s.eth0()
    m = s.start_told()
    s.knob("delay_msec", 20)
    s.pod_ip(*(f"route add 10.{100 + n // 200}.{n % 200}.0/24 via 172.17.0.1" for n in range(5000)))
    expect_term(m)


@case
def life_sigterm_at_once(s):
    """Right after the start, at any instant of it."""
    s.eth0()
    for msec in range(0, 24, 3):
        m = s.start(wait_started=False)
        begin = now_usec()
        wait(lambda: now_usec() - begin >= msec * 1000, "an instant")
        m.process.send_signal(signal.SIGTERM)
        # Before it has a handler the signal has its default action.
        expect(m.ended() in (0, -signal.SIGTERM), f"exit status {m.process.returncode} after {msec} ms")
    s.start()
    s.wait_true()


@case
def life_sigusr1_says_it_all(s):
    m = start_with_eth1(s, "-log", "fatal")
    s.knob("hang")
    s.veth("eth2", "addr add 10.2.0.2/24 dev {}")
    wait(lambda: len(s.calls("add-iface")) == 2, "an op in flight")
    before = len(m.stderr())
    m.process.send_signal(signal.SIGUSR1)
    wait(lambda: "waiting:" in m.stderr()[before:], "a report")
    said = m.stderr()[before:]
    for word in ("seen link: eth2", "seen address", "seen route", "wanted link: eth2", "wanted route", "acked link: eth1",
                 "acked address", "acked route", "add-link eth2", "in flight"):
        expect(word in said, f"'{word}' is not in the report:\n{said}")
    expect(not re.search(r"acked link: eth2", said), f"eth2 is not acked yet:\n{said}")
    s.unknob("hang")
    expect(m.is_alive(), "it ended")


@case
def life_sighup_and_sigpipe_mean_nothing(s):
    m = start_with_eth1(s)
    m.process.send_signal(signal.SIGHUP)
    m.process.send_signal(signal.SIGPIPE)
    s.pod_ip("route add 10.8.0.0/16 via 10.1.0.1")
    s.wait_true()
    expect(m.is_alive(), "it ended")


@case
def life_is_not_to_be_looked_into(s):
    """PR_SET_DUMPABLE off (CVE-2019-5736): not even by the same user with the same rights, without CAP_SYS_PTRACE."""
    s.eth0()
    plain = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all"]
    # Nor by a leak checker, which looks into its own process.
    m = Monitor(s, [*plain, *s.argv("--log-target", "stderr")], netns=s.pod, env={"ASAN_OPTIONS": "detect_leaks=0"})
    s.wait_routes()
    s.children.append(subprocess.Popen([*plain, "sleep", "1000000"]))
    wait(lambda: command_of(s.children[-1].pid).startswith("sleep"), "another process")

    def look(pid):
        return subprocess.run([*plain, "readlink", f"/proc/{pid}/fd/0"], capture_output=True).returncode
    expect_equal(look(s.children[-1].pid), 0, "exit status of a look at another process")
    expect(look(m.pid) != 0, "its files can be seen, and so opened")


@case
def life_opens_no_abstract_socket(s):
    """Whoever shares the pod's namespace could connect to one (CVE-2020-15257)."""
    m = start_with_eth1(s)
    with open(f"/proc/{m.pid}/net/unix", encoding="utf-8") as file:
        expect("@" not in file.read(), "an abstract socket in the pod's namespace")


# ---- restart ----


@case
def life_restart_tells_exactly_what_changed(s):
    m = start_with_eth1(s, "--on-change", "replug")
    s.veth("eth2", "addr add 10.2.0.2/24 dev {}")
    s.veth("eth3", "addr add 10.3.0.2/24 dev {}")
    wait(lambda: len(s.done("add-iface")) == 3, "told")
    s.wait_true()
    at_rest(s)
    m.kill()
    before = len(s.calls())
    s.veth("eth4", "addr add 10.4.0.2/24 dev {}")  # new
    s.pod_ip("link del eth2")  # gone
    s.pod_ip("addr add 10.3.0.3/24 dev eth3")  # changed
    s.pod_ip("route del 10.9.0.0/16", "route add 10.8.0.0/16 via 10.4.0.1")
    s.start("--on-change", "replug")
    s.wait_true()
    s.quiet("all is told")
    told = [(c.verb, c.iface.name if c.verb != "update-routes" else len(c.document)) for c in s.calls()[before:]]
    expect_equal(sorted(told[:4], key=str), sorted([("del-iface", "eth2"), ("del-iface", "eth3"), ("add-iface", "eth3"), ("add-iface", "eth4")], key=str),
                 "links")
    expect_equal(told[4:], [("update-routes", 2)], "routes")


@case
def life_restart_after_nothing_tells_nothing(s):
    m = start_with_eth1(s)
    before = len(s.calls())
    for _ in range(5):
        m.kill()
        m = s.start()
    s.quiet("nothing is new")
    expect_equal(len(s.calls()), before, "calls")


@case
def life_restart_by_another_name_of_the_link(s):
    """Renamed and replaced while it was down: the number decides, and then the MAC."""
    m = start_with_eth1(s)
    m.kill()
    s.pod_ip("link set eth1 down", "link set eth1 name old1")
    s.peers_ip("link set p-eth1 down", "link set p-eth1 name p-old1", "link set p-old1 up")
    s.veth("eth1", "addr add 10.7.0.2/24 dev {}")
    s.start()
    s.wait_iface_calls([ETH1, ("add-iface", "eth1", ["10.7.0.2/24"])])
    s.pod_ip("link del old1")
    s.wait_iface_calls([ETH1, ("add-iface", "eth1", ["10.7.0.2/24"]), ("del-iface", "eth1", ["10.1.0.2/24"])])
    s.wait_true()


@case
def life_orphan_is_waited_for(s):
    """A runtime that outlives the monitor that started it: its op is not done twice, and none runs beside it."""
    s.eth0()
    m = s.start_told()
    s.knob("delay_msec", 700)
    eth1(s)
    call = wait(lambda: s.calls("add-iface"), "an op")[0]
    m.kill()
    s.unknob("delay_msec")
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1")
    s.start(wait_started=False)
    s.wait_true()
    s.quiet("all is told")
    expect_equal(call.status, 0, "the orphan's end")
    expect_equal([c.iface.name for c in s.calls("add-iface")], ["eth1"], "it is told once")
    others = [c for c in s.calls() if c.begin_usec > call.begin_usec]
    expect(all(c.begin_usec >= call.end_usec for c in others), f"{others} beside {call}")


@case
def life_orphan_that_never_ends_is_killed(s):
    s.eth0()
    m = s.start_told("--runtime-timeout", "1")
    s.knob("hang")
    eth1(s)
    call = wait(lambda: s.calls("add-iface"), "an op")[0]
    m.kill()
    s.unknob("hang")  # for those that follow: who hangs hangs
    s.start("--runtime-timeout", "1", wait_started=False)
    wait(lambda: not os.path.exists(f"/proc/{call.pid}"), "the orphan is killed")
    s.wait_true()


@case
def life_orphan_that_is_killed_too_loses_nothing(s):
    s.eth0()
    m = s.start_told()
    s.knob("delay_msec", 600)
    eth1(s)
    call = wait(lambda: s.calls("add-iface"), "an op")[0]
    m.kill()
    os.kill(call.pid, signal.SIGKILL)
    s.unknob("delay_msec")
    s.start()
    s.wait_true()
    s.quiet("all is told")
    expect_equal([(c.iface.name, c.status) for c in s.calls("add-iface")], [("eth1", None), ("eth1", 0)], "calls")


@case
def life_orphan_of_a_link_that_is_gone(s):
    """Added while nobody looked, and deleted: the runtime must hear of the end."""
    s.eth0()
    m = s.start_told()
    s.knob("delay_after_msec", 300)
    mac = eth1(s)
    wait(lambda: mac in s.guest_ifaces(), "the guest has it")
    m.kill()
    s.unknob("delay_after_msec")
    s.pod_ip("link del eth1")
    s.start(wait_started=False)
    s.wait_true()
    expect_equal([c[0] for c in s.iface_calls()], ["add-iface", "del-iface"], "calls")


@case
def life_orphan_told_of_a_link_that_changed_since(s):
    """The guest has it, but not as it is now."""
    s.eth0()
    m = s.start_told("--on-change", "replug")
    s.knob("delay_after_msec", 300)
    mac = eth1(s)
    wait(lambda: mac in s.guest_ifaces(), "the guest has it")
    m.kill()
    s.unknob("delay_after_msec")
    s.pod_ip("addr add 10.1.0.3/24 dev eth1")
    s.start("--on-change", "replug", wait_started=False)
    s.wait_true()


@case
def life_orphan_told_of_an_address_that_is_gone_since(s):
    """The guest has more than it should."""
    s.eth0()
    m = s.start_told("--on-change", "replug")
    s.knob("delay_after_msec", 300)
    mac = s.veth("eth1", "addr add 10.1.0.2/24 dev {}", "addr add 10.1.0.3/24 dev {}", up=False)
    s.pod_ip("link set eth1 up")
    wait(lambda: mac in s.guest_ifaces(), "the guest has it")
    m.kill()
    s.unknob("delay_after_msec")
    s.pod_ip("addr del 10.1.0.3/24 dev eth1")
    s.start("--on-change", "replug", wait_started=False)
    s.wait_true()


@case
def life_orphan_that_ends_a_link_which_comes_back(s):
    """A replug in flight is killed between its end and its beginning, and then there is nothing to replug any more."""
    s.eth0()
    m = s.start_told("--on-change", "replug")
    mac = eth1(s)
    s.wait_iface_calls([ETH1])
    at_rest(s)
    s.knob("delay_after_msec", 300)
    s.pod_ip("addr add 10.1.0.3/24 dev eth1")
    wait(lambda: mac not in s.guest_ifaces(), "the guest has lost it")
    m.kill()
    s.unknob("delay_after_msec")
    s.pod_ip("addr del 10.1.0.3/24 dev eth1")
    for _ in range(3):
        m = s.start("--on-change", "replug", wait_started=False)
        wait(lambda: s.audit(op="resync", reason="start")[-1:], "its first look")
        m.kill()
    s.start("--on-change", "replug", wait_started=False)
    s.wait_true()


@case
def life_orphan_is_not_forgotten_by_the_next_op(s):
    """An addition in flight, a kill, another op of the successor, a kill in the middle of that: both are still in doubt."""
    s.eth0()
    m = s.start_told()
    mac2 = s.veth("eth2", "addr add 10.2.0.2/24 dev {}")
    wait(lambda: mac2 in s.guest_ifaces(), "told of eth2")
    s.wait_true()
    at_rest(s)
    s.knob("delay_after_msec", 200)
    mac = eth1(s)
    wait(lambda: mac in s.guest_ifaces(), "the guest has eth1")
    m.kill()
    s.pod_ip("link del eth2")
    m = s.start(wait_started=False)
    wait(lambda: s.calls("del-iface"), "the successor goes on with eth2")
    m.kill()
    s.unknob("delay_after_msec")
    s.start()
    s.calm()
    s.wait_true()
    expect(not [c for c in s.calls() if c.status], f"calls that failed: {[c for c in s.calls() if c.status]}")


# ---- state ----


@case
def life_damaged_state_is_set_aside(s):
    """All of it: a start as the first."""
    m = start_with_eth1(s)
    m.kill()
    with open(s.state_path("state"), "wb") as file:
        file.write(b"\0\xff no state \n" * 50)
    before = len(s.calls())
    m = s.start_told()
    s.quiet("a baseline")
    names = [name for name in os.listdir(s.state_path()) if name.startswith("state.corrupt")]
    expect_equal(len(names), 1, f"files set aside: {names}")
    with open(s.state_path(names[0]), "rb") as file:
        expect_equal(file.read(), b"\0\xff no state \n" * 50, "what was set aside")
    expect_equal(m.stderr().count("damaged"), 1, "times that it is said")
    expect_equal([c.verb for c in s.calls()[before:]], ["update-routes"], "calls")


@case
def life_what_stood_before_the_damage_counts(s):
    m = start_with_eth1(s)
    m.kill()
    with open(s.state_path("state"), "ab") as file:
        file.write(b'{"done":no\n{"more":"of it"}\n')
    s.pod_ip("link del eth1")
    m = s.start()
    s.wait_iface_calls([ETH1, ("del-iface", "eth1", ["10.1.0.2/24"])])
    s.wait_true()
    expect_equal(m.stderr().count("damaged"), 1, "times that it is said")
    expect([n for n in os.listdir(s.state_path()) if n.startswith("state.corrupt")], "nothing was set aside")


@case
def life_half_a_line_is_no_damage(s):
    """It was being written."""
    m = start_with_eth1(s)
    m.kill()
    with open(s.state_path("state"), "ab") as file:
        file.write(b'{"intent":99,"ve')
    m = s.start()
    s.quiet("nothing is new")
    expect("damaged" not in m.stderr(), m.stderr())


@case
def life_state_of_another_boot_is_swept(s):
    m = start_with_eth1(s)
    m.kill()
    with open(s.state_path("state"), encoding="utf-8") as file:
        text = file.read()
    boot = re.search(r'"boot":"([0-9a-f-]+)"', text).group(1)
    with open(s.state_path("state"), "w", encoding="utf-8") as file:
        file.write(text.replace(boot, boot[:-4] + ("0000" if boot[-4:] != "0000" else "1111")))
    s.pod_ip("link del eth1")
    m = s.start_told()
    s.quiet("what that guest had is of no interest")
    expect_equal(s.iface_calls(), [ETH1], "calls")
    expect("damaged" not in m.stderr(), m.stderr())


@case
def life_state_of_another_namespace_is_swept(s):
    """Its inode number may be the same: it is reused at once."""
    m = start_with_eth1(s)
    m.kill()
    run("ip", "netns", "del", s.pod)
    wait(lambda: not s.peer_is_there("eth1"), "the namespace goes")
    shutil.rmtree(f"{s.stub_directory}/ifaces")
    os.mkdir(f"{s.stub_directory}/ifaces")
    s.namespaces.remove(s.pod)
    s.namespace(s.pod)
    s.eth0()
    s.start_told()
    s.wait_true()
    s.quiet("it is another sandbox's")
    expect_equal(s.iface_calls(), [ETH1], "calls")


@case
def life_state_of_another_vm_is_swept(s):
    """The same sandbox, its VM started anew: the new guest has never heard of what the old one was told."""
    vm = s.child()
    s.write_vm(vm.pid)
    m = start_with_eth1(s)
    m.kill()
    s.pod_ip("link del eth1")
    s.end_child(vm)
    s.write_vm(s.child().pid)
    before = len(s.calls())
    s.start_told()
    s.wait_routes()
    s.quiet("it is another's")
    expect_equal([c.verb for c in s.calls()[before:]], ["update-routes"], "calls")


@case
def life_state_of_the_same_vm_is_kept(s):
    s.write_vm(s.child().pid)
    m = start_with_eth1(s)
    m.kill()
    s.pod_ip("link del eth1")
    s.start()
    s.wait_iface_calls([ETH1, ("del-iface", "eth1", ["10.1.0.2/24"])])


@case
def life_vm_that_comes_later_is_learnt(s):
    """As with the 1.x runtime: first we, then the VM."""
    m = start_with_eth1(s)
    vm = s.child()
    s.write_vm(vm.pid)
    wait(lambda: f'"pid":{vm.pid}' in open(s.state_path("state"), encoding="utf-8").read(), "it is written down")
    m.kill()
    s.pod_ip("link del eth1")
    s.end_child(vm)
    s.write_vm(s.child().pid)
    s.start_told()
    s.quiet("it is another's")
    expect_equal(s.iface_calls(), [ETH1], "calls")


@case
def life_state_dir_that_is_full(s):
    """It stops nothing; and when there is room again, what was not written is."""
    room = s.tmpfs("small", "64k")
    options = ["--state-dir", room]
    s.eth0()
    m = s.start_told(*options)
    at_rest(s)
    with open(f"{room}/fill", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    eth1(s)
    s.wait_audit("No space left", op="add-link", result="retry")
    expect(m.is_alive(), "it ended")
    os.unlink(f"{room}/fill")
    s.wait_iface_calls([ETH1], seconds=20)
    s.pod_ip("route add 10.9.0.0/16 via 10.1.0.1")
    s.wait_true(20)
    at_rest(s)
    # Mended within a second, and from then on as good as ever.
    wait(lambda: '"eth1"' in open(f"{room}/{s.id}/state", encoding="utf-8").read(), "it is written")
    s.quiet("mending is not told", 1.2)
    m.kill()
    before = len(s.calls())
    s.start(*options)
    s.quiet("nothing is new")
    expect_equal(len(s.calls()), before, "calls after a restart")


@case
def life_state_dir_that_is_full_at_the_start(s):
    room = s.tmpfs("small", "64k")
    with open(f"{room}/fill", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    s.eth0()
    m = s.start("--state-dir", room)
    s.wait_audit("No space left", op="set-routes", result="retry")
    expect(m.is_alive(), "it ended")
    os.unlink(f"{room}/fill")
    s.wait_routes(20)


# ---- the end of the sandbox ----


def expect_end(s, m, names=("eth0",)):
    """It ends by itself, and nothing of it is left: no directory, and no namespace once nobody else names it."""
    expect_equal(m.ended(), 0, "exit status")
    wait(lambda: not os.path.exists(s.state_path()), "its directory goes", 1)
    wait(lambda: s.audit(op="end", result="sandbox-gone"), "it is audited")
    if os.path.exists(f"/run/netns/{s.pod}"):
        run("ip", "netns", "del", s.pod)
    wait(lambda: not any(s.peer_is_there(name) for name in names), "the peers vanish", 1)


@case
def life_ends_with_its_vm(s):
    vm = s.child()
    s.write_vm(vm.pid)
    m = start_with_eth1(s)
    s.end_child(vm)
    expect_end(s, m, ("eth0", "eth1"))


@case
def life_ends_with_a_vm_that_came_later(s):
    m = start_with_eth1(s)
    vm = s.child()
    s.write_vm(vm.pid)
    wait(lambda: f'"pid":{vm.pid}' in open(s.state_path("state"), encoding="utf-8").read(), "it is known")
    s.end_child(vm)
    expect_end(s, m, ("eth0", "eth1"))


@case
def life_ends_with_a_vm_of_runtime_rs(s):
    vm = s.child()
    s.write_vm(vm.pid, "/run/kata", "state.json")
    m = start_with_eth1(s)
    s.end_child(vm)
    expect_end(s, m, ("eth0", "eth1"))


@case
def life_ends_with_the_vm_that_it_is_told(s):
    vm = s.child()
    m = start_with_eth1(s, "--vm-pid", str(vm.pid))
    s.end_child(vm)
    expect_end(s, m, ("eth0", "eth1"))


@case
def life_ends_with_the_sandbox_directory(s):
    s.write_vm(s.child().pid)
    m = start_with_eth1(s)
    shutil.rmtree(f"/run/vc/sbs/{s.id}")
    expect_end(s, m, ("eth0", "eth1"))


@case
def life_ends_with_the_netns_path(s):
    s.eth0()
    m = s.start_told("--netns", f"/run/netns/{s.pod}", inside_netns=False)
    before = now_usec()
    run("ip", "netns", "del", s.pod)
    wait(lambda: not s.peer_is_there("eth0"), "the peer vanishes", 1)
    expect(now_usec() - before < 1_000_000 * SLOWNESS, "it took too long")
    expect_end(s, m)


@case
def life_ends_when_the_netns_path_is_another(s):
    s.eth0()
    m = s.start_told("--netns", f"/run/netns/{s.pod}", inside_netns=False)
    run("ip", "netns", "del", s.pod)
    run("ip", "netns", "add", s.pod)
    expect_equal(m.ended(), 0, "exit status")
    wait(lambda: not s.peer_is_there("eth0"), "the peer vanishes", 1)


@case
def life_ends_with_the_netns_pid(s):
    s.eth0()
    child = s.child(s.pod)
    m = s.start_told("--netns", str(child.pid), inside_netns=False)
    s.end_child(child)
    expect_end(s, m)


@case
def life_end_kills_what_is_in_flight(s):
    """There is nobody left to be told."""
    s.eth0()
    vm = s.child()
    m = s.start_told("--vm-pid", str(vm.pid))
    s.knob("hang")
    eth1(s)
    call = wait(lambda: s.calls("add-iface"), "an op")[0]
    s.end_child(vm)
    expect_equal(m.ended(), 0, "exit status")
    wait(lambda: not os.path.exists(f"/proc/{call.pid}"), "the runtime is gone")
    wait(lambda: not os.path.exists(s.state_path()), "the directory is gone")


@case
def life_end_of_another_sandbox_means_nothing(s):
    m = start_with_eth1(s)
    for name in ("other", s.id + "0", s.id[:-1]):
        os.makedirs(f"/run/vc/sbs/{name}")
    for name in ("other", s.id + "0", s.id[:-1]):
        os.rmdir(f"/run/vc/sbs/{name}")
    run("ip", "netns", "add", "other")
    run("ip", "netns", "del", "other")
    s.pod_ip("route add 10.8.0.0/16 via 10.1.0.1")
    s.wait_true()
    expect(m.is_alive(), "it ended")


@case
def life_no_failure_ends_it(s):
    """Its directory removed under it, its shared file a directory: it goes on, and says so."""
    m = start_with_eth1(s)
    os.mkdir(s.state_path("shared.json"))
    s.pod_ip("route add 10.8.0.0/16 via 10.1.0.1")
    wait(lambda: s.audit(op="set-routes", result="retry"), "a failure is audited")
    expect(m.is_alive(), "it ended")
    os.rmdir(s.state_path("shared.json"))
    s.wait_true(20)
    expect_equal(os.listdir(STATE_DIR), [s.id], "sandboxes")


if __name__ == "__main__":
    main()
