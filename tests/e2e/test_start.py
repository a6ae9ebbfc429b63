# SPDX-License-Identifier: Apache-2.0
"""How it is started: as the 1.x runtime does it and by hand, in good surroundings and in bad ones."""

import os
import resource
import signal
import stat
import subprocess
import sys

from harness import PROGRAM, STATE_DIR, Monitor, case, expect, expect_equal, ip, main, now_usec, wait


def drop_in(s, *options):
    """virtcontainers/netmon.go: bare argv, stdio on /dev/null, in the pod's namespace, before the VM answers."""
    s.eth0()
    s.knob("not-running")
    m = Monitor(s, s.argv(*options), netns=s.pod, stderr=subprocess.DEVNULL)
    call = wait(lambda: s.calls("update-routes"), "a first try")[0]
    expect_equal(call.id, s.id, "sandbox id")
    wait(lambda: len(s.calls("update-routes")) > 1 and call.status is not None, "it asks again")
    expect_equal(s.done(), [], "what a VM that is not running was told")
    s.unknob("not-running")
    s.wait_routes()
    s.quiet("one route set is enough once the VM answers")
    expect_equal(len(s.done("update-routes")), 1, "route sets")
    expect_equal(s.calls("add-iface", "del-iface"), [], "calls for a link that was cold-plugged")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}", up=False)
    s.pod_ip("link set eth1 up", "route add 10.9.0.0/16 via 10.1.0.1 dev eth1")
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24"])])
    s.wait_routes()
    expect_equal(m.kill(signal.SIGKILL), -signal.SIGKILL, "how the 1.x runtime ends it")


@case
def start_as_the_runtime_does_with_debug(s):
    drop_in(s, "-d", "-log", "debug")


@case
def start_as_the_runtime_does(s):
    drop_in(s, "-log", "info")


@case
def start_argv_order_is_free(s):
    s.eth0()
    Monitor(s, [PROGRAM, "--log=warn", f"-s={s.id}", "--r", s.runtime, "-d=false", "--", "word"], netns=s.pod)
    s.wait_routes()


@case
def start_with_netns_path(s):
    s.eth0()
    s.start("--netns", f"/run/netns/{s.pod}", inside_netns=False)
    s.wait_routes()
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24"])])


@case
def start_with_netns_pid(s):
    s.eth0()
    s.start("--netns", str(s.child(s.pod).pid), inside_netns=False)
    s.wait_routes()
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24"])])


@case
def start_link_that_was_down_is_new_when_up(s):
    s.eth0()
    s.veth("eth1", up=False)
    s.start_told()
    s.quiet("a link that is down")
    s.pod_ip("link set eth1 up")
    s.wait_iface_calls([("add-iface", "eth1", [])], seconds=3)


@case
def start_link_that_was_down_but_addressed_is_asked_for(s):
    """It may have been cold-plugged: the runtime is asked, not told twice."""
    s.eth0()
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}", up=False)
    s.veth("eth2", "addr add 10.2.0.2/24 dev {}", up=False)
    s.cold_plug("eth1")
    s.start_told()
    s.pod_ip("link set eth1 up")
    wait(lambda: s.done("list-ifaces"), "the runtime is asked")
    s.pod_ip("link set eth2 up")
    s.wait_iface_calls([("add-iface", "eth2", ["10.2.0.2/24"])])
    s.quiet("eth1 is there")


@case
def start_in_an_empty_namespace(s):
    s.start_told()
    expect_equal([call.document for call in s.calls()], [[]], "documents")
    s.quiet("nothing to tell")


@case
def start_before_there_is_a_link(s):
    """The 1.x runtime may start it in a namespace that is still being made."""
    s.start_told()
    s.veth("eth0", "addr add 172.17.0.2/16 dev {}", "addr add 2001:db8::2/64 dev {} nodad")
    s.wait_iface_calls([("add-iface", "eth0", ["172.17.0.2/16", "2001:db8::2/64"])])
    s.pod_ip("route add default via 172.17.0.1", "route add default via 2001:db8::1")
    s.wait_true()


def refusal(s, *argv):
    result = subprocess.run([PROGRAM, *argv], capture_output=True, text=True, env=s.environment(), timeout=30)
    expect_equal(result.stdout, "", "stdout of a refusal")
    return result.returncode, result.stderr


@case
def start_refuses_ids_that_are_paths(s):
    bad_ids = ["../x", "..", ".", "a/b", "/etc", ".hidden", "-", "_x", "x y", "x\n", "../../../../tmp/x", "x" * 129, "ä", "x\x1b[31m"]
    for bad in bad_ids:
        status, said = refusal(s, "-r", s.runtime, "-s", bad)
        expect_equal(status, 1, f"exit status for id {bad!r}")
        expect(said.count("\n") == 1 and said.endswith("\n") and "-s" in said, f"id {bad!r}: {said!r}")
        expect(said.isprintable() or said[:-1].isprintable(), f"id {bad!r}: control bytes in {said!r}")
    expect(not os.path.exists(os.path.dirname(STATE_DIR)) or not os.listdir(STATE_DIR), "a refused id left something behind")
    expect_equal(s.calls(), [], "calls")


@case
def start_refusals_are_one_clear_line(s):
    for argv, status, words in [
        (["-s", "", "-r", "x"], 1, "Error: sandbox id is empty, one must be provided"),
        (["-r", "", "-s", "x"], 1, "Error: runtime path is empty, one must be provided"),
        (["-zzz"], 2, "flag provided but not defined: -zzz"),
        (["-s"], 2, "flag needs an argument: -s"),
        (["-r", "x", "-s", "x", "-log", "loud"], 1, "loud"),
        (["-r", "x", "-s", "x", "--settle", "soon"], 1, "--settle"),
        (["-r", "x", "-s", "x", "--kinds", "veth,cable"], 1, "--kinds"),
        (["-r", "x", "-s", "x", "--netns", "/run/netns/none"], 1, "/run/netns/none"),
        (["-r", "x", "-s", "x", "--netns", "/dev/null"], 1, "/dev/null"),
        (["-r", "x", "-s", "x", "--netns", "4000000"], 1, "4000000"),
        (["-r", "x", "-s", "x", "--state-dir", "relative"], 1, "--state-dir"),
        (["-r", "x", "-s", "x", "--state-dir", "/proc/none"], 1, "/proc/none"),
        (["-r", "x", "-s", "x", "--audit", "/none/audit"], 1, "/none/audit"),
    ]:
        seen, said = refusal(s, *argv, *(["--log-target", "journal"] if status == 1 else []))
        expect_equal(seen, status, f"exit status of {argv}")
        expect(words in said.splitlines()[0], f"{argv}: {said!r}")


@case
def start_help_and_version(s):
    result = subprocess.run([PROGRAM, "--help", "-v"], capture_output=True, text=True, env=s.environment())
    expect(result.returncode == 0 and "network monitoring process" in result.stdout and "  -s string" in result.stderr, repr(result))
    result = subprocess.run([PROGRAM, "-version"], capture_output=True, text=True, env=s.environment())
    expect(result.returncode == 0 and result.stdout.startswith("kata-netmon version ") and not result.stderr, repr(result))


def modes(s, mask):
    before = set(os.listdir("/run"))
    old = os.umask(mask)
    try:
        m = s.start("--netns", f"/run/netns/{s.pod}", inside_netns=False)
    finally:
        os.umask(old)
    s.wait_routes()
    # The stub holds each document to 0640.
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24"])])
    path = s.state_path()
    while path != "/run" and (path == s.state_path() or "kata-containers" not in before):
        expect_equal(oct(stat.S_IMODE(os.stat(path).st_mode)), "0o750", f"mode of {path} under umask {mask:o}")
        path = os.path.dirname(path)
    for name in ("state", "lock"):
        expect_equal(oct(stat.S_IMODE(os.stat(s.state_path(name)).st_mode)), "0o640", f"mode of {name} under umask {mask:o}")
    expect(m.is_alive(), "it ended")


@case
def start_modes_under_umask_077(s):
    s.eth0()
    modes(s, 0o077)


@case
def start_modes_under_umask_000(s):
    s.eth0()
    modes(s, 0)


FD_SCRIPT = """#!/usr/bin/python3 -SE
import os, sys
def fds():
    for name in os.listdir("/proc/self/fd"):
        try:
            yield int(name), os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
with open(sys.argv[0] + ".fds", "a") as out:
    out.write(repr([f for f in fds() if f[0] != out.fileno()]) + "\\n")
os.execv(os.environ["STUB"], sys.argv)
"""


def runtime_fds(s, path):
    wait(lambda: s.done("update-routes"), "a call")
    with open(path + ".fds", encoding="utf-8") as file:
        return dict(eval(file.readline()))  # pylint: disable=eval-used


@case
def start_leaks_no_fd_to_the_runtime(s):
    """CVE-2024-21626 is what this is against."""
    path = s.script(FD_SCRIPT)
    s.eth0()
    secret = os.open("/etc/passwd", os.O_RDONLY)
    directory = os.open("/", os.O_PATH)
    s.start(runtime=path, pass_fds=(secret, directory))
    fds = runtime_fds(s, path)
    expect_equal(sorted(fds), [0, 1, 2], f"fds of the runtime ({fds})")
    expect_equal(fds[0], "/dev/null", "stdin of the runtime")
    os.close(secret)
    os.close(directory)


@case
def start_with_stdio_closed(s):
    """What is opened later must not become somebody's stdout."""
    path = s.script(FD_SCRIPT)
    s.eth0()
    argv = s.argv("-log", "debug", "--audit", s.path("audit"), runtime=path)
    m = Monitor(s, ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *argv], netns=s.pod)
    fds = runtime_fds(s, path)
    expect_equal(sorted(fds), [0, 1, 2], f"fds of the runtime ({fds})")
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24"])])
    s.wait_routes()
    m.process.send_signal(signal.SIGUSR1)
    s.quiet("a report on a closed stderr", 0.1)
    expect(m.is_alive(), "it ended")
    for name in ("state", "lock"):
        with open(s.state_path(name), encoding="utf-8", errors="replace") as file:
            expect("audit" not in file.read(), f"log lines in the file {name}")


@case
def start_outlives_lack_of_fds(s):
    s.eth0()
    m = s.start_told()
    count = max(int(name) for name in os.listdir(f"/proc/{m.pid}/fd")) + 1
    limits = resource.prlimit(m.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(m.pid, resource.RLIMIT_NOFILE, (count, limits[1]))
    s.veth("eth1", "addr add 10.1.0.2/24 dev {}")
    s.wait_audit("Too many open files", op="add-link", result="retry")
    expect(m.is_alive(), "it ended")
    resource.prlimit(m.pid, resource.RLIMIT_NOFILE, limits)
    s.wait_iface_calls([("add-iface", "eth1", ["10.1.0.2/24"])], seconds=15)
    s.wait_routes()


@case
def start_with_too_few_fds_is_refused_or_works(s):
    """One clear line, or all that it does: nothing in between, for any limit."""
    s.eth0()
    for limit in (3, 5, 8, 11, 14, 17):
        m = Monitor(s, ["/usr/bin/prlimit", f"--nofile={limit}", *s.argv("--log-target", "stderr")], netns=s.pod)
        before = len(s.done("update-routes"))
        wait(lambda: not m.is_alive() or len(s.done("update-routes")) > before or m.stderr(), f"an answer with {limit} fds", 5)
        if m.is_alive():
            m.kill()
        elif m.process.returncode != 0:
            expect(m.process.returncode in (1, 127), f"exit status with {limit} fds: {m.process.returncode}")
            expect(m.stderr(), f"no word with {limit} fds")
        s.log.read()
        if os.path.exists(s.state_path("state")):
            os.unlink(s.state_path("state"))
    s.start_told()


@case
def start_with_a_link_in_the_base_path(s):
    """/var/run is one on all systems; below the base no link is followed."""
    base = s.path("base")
    os.mkdir(base)
    os.symlink(base, s.path("link"))
    s.eth0()
    s.start_told("--state-dir", s.path("link"))
    expect(os.path.exists(f"{base}/{s.id}/state"), "no state behind the link")


@case
def start_follows_no_link_below_the_base(s):
    base, elsewhere = s.path("base"), s.path("elsewhere")
    os.mkdir(base)
    os.mkdir(elsewhere)
    os.symlink(elsewhere, f"{base}/{s.id}")
    s.eth0()
    status, said = refusal(s, "-r", s.runtime, "-s", s.id, "--state-dir", base, "--log-target", "journal")
    expect_equal(status, 1, "exit status")
    expect(s.id in said, said)
    expect_equal(os.listdir(elsewhere), [], "what was written through a link")


@case
def start_time_is_milliseconds(s):
    """No promise, but what 300 kills a minute rest on: process start to runtime's main()."""
    s.eth0()
    times = []
    for _ in range(5):
        before = now_usec()
        m = s.start_told()
        times.append(s.done("update-routes")[-1].begin_usec - before)
        m.kill()
        os.unlink(s.state_path("state"))
    expect(min(times) < 500_000, f"start took {times} us")
    print(f"# start to first call: {sorted(times)} us", file=sys.stderr)


@case
def start_ip_is_there(s):
    """The harness itself: the pod's namespace is not ours."""
    expect("eth0" not in ip(s.pod, "link show"), "a link from nowhere")


if __name__ == "__main__":
    main()
