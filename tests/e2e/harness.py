# SPDX-License-Identifier: Apache-2.0
"""What the black-box tests share: a world of their own, sandboxes in it, the program, and waiting.

A test file is a set of functions marked @case, and main() at its end. The file runs in namespaces of its own
(mounts, processes, network): /run is an empty tmpfs, so /run/vc, /run/netns and /var/run are the test's alone, and
whatever a case leaves running dies with the file, even when that is killed. Each case prints `ok NAME` or
`not ok NAME`; a case that fails shows what the runtime was told and what the program said.

What the program did is seen as a runtime sees it: by the log of calls of stub-runtime (its head explains it).
Waits are conditions with deadlines. quiet() is the one wait for a time: that nothing comes is seen in no other way.
"""

import contextlib
import ctypes
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import namedtuple

PROGRAM = os.path.abspath(os.environ.get("NETMON_PROGRAM", "build/netmon/kata-netmon"))
STUB = os.path.abspath(os.environ.get("NETMON_STUB", "build/tests/e2e/stub-runtime"))
STATE_DIR = "/run/kata-containers/netmon/sbs"

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
MS_REC, MS_PRIVATE = 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """A case found what should not be."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


def expect_equal(seen, wanted, what):
    if seen != wanted:
        raise Failure(f"{what}:\n  expected {wanted}\n  seen     {seen}")


def wait(condition, what, seconds=10):
    """Polls condition until it is true and returns its value."""
    deadline = time.monotonic() + seconds * SLOWNESS
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"did not come within {seconds * SLOWNESS:g} s: {what}")
        time.sleep(0.002)


def now_usec():
    return time.monotonic_ns() // 1000


def is_sanitized():
    with open(PROGRAM, "rb") as file:
        return b"__asan_init" in file.read()


# ---- the world ----


def check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def mount(source, target, kind, flags=0, data=None):
    check(libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags,
                     data.encode() if data else None))


def unmount(target):
    check(libc.umount2(target.encode(), 2))


def make_world():
    """Runs the rest of the program as the grandchild: below an init of its own, which reaps and takes all down."""
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET))
    init = os.fork()
    if init:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(init, 0)[1]) & 0xff)
    check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
    mount("proc", "/proc", "proc")
    tests = os.fork()
    if not tests:
        os.makedirs("/run/netns")
        os.setsid()
        return
    while True:
        pid, status = os.wait()
        if pid == tests:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


# Processes that outlive a case: what takes long to start, and is shared by the cases of a file.
SHARED = set()


def kill_leftovers():
    for pid in processes():
        if pid not in SHARED | {1, os.getpid()}:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def inside(netns):
    """What is started or opened within belongs to this network namespace."""
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{netns}") as there:
        check(libc.setns(there.fileno(), CLONE_NEWNET))
        try:
            yield
        finally:
            check(libc.setns(home.fileno(), CLONE_NEWNET))


def run(*argv, data=None, ok=True):
    result = subprocess.run(argv, input=data, capture_output=True, text=True)
    if ok and result.returncode:
        raise Failure(f"{' '.join(argv)}: {result.stderr or result.stdout}\n{(data or '')[:500]}")
    return result.stdout


def ip(netns, *lines, ok=True):
    """Each line is one command of ip(8)."""
    with inside(netns):
        return run("ip", *([] if ok else ["-force"]), "-batch", "-", data="\n".join(lines) + "\n", ok=ok)


def ip_argv(netns, *argv):
    """For names that need quotes."""
    with inside(netns):
        return run("ip", *argv)


def ip_json(netns, *argv):
    with inside(netns):
        return json.loads(run("ip", "-j", *argv) or "[]")


# ---- netlink by hand: many changes in one system call ----

RTM_NEWADDR, NLM_F_REQUEST, NLM_F_CREATE = 20, 1, 0x400
IFA_ADDRESS, IFA_LOCAL = 1, 2


def address_message(ifindex, prefix):
    ip_text, length = prefix.split("/")
    family = socket.AF_INET6 if ":" in ip_text else socket.AF_INET
    data = socket.inet_pton(family, ip_text)
    body = struct.pack("=BBBBI", family, int(length), 0, 0, ifindex)
    for kind in (IFA_LOCAL, IFA_ADDRESS):
        body += struct.pack("=HH", 4 + len(data), kind) + data
    return struct.pack("=IHHII", 16 + len(body), RTM_NEWADDR, NLM_F_REQUEST | NLM_F_CREATE, 1, 0) + body


def add_addresses(netns, name, *prefixes):
    """All in one message to the kernel: no scheduler comes between them."""
    with inside(netns):
        ifindex = socket.if_nametoindex(name)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
            netlink.send(b"".join(address_message(ifindex, prefix) for prefix in prefixes))


# ---- values ----

Iface = namedtuple("Iface", "mac name mtu kind addresses")
Route = namedtuple("Route", "dest gateway device source scope")
SCOPES = {"global": 0, "site": 200, "link": 253, "host": 254, "nowhere": 255}


def iface_of(document):
    """As the runtime reads it."""
    addresses = frozenset(f"{a['Address']}/{a['Mask']}" for a in document["IPAddresses"] or [])
    return Iface(document["HwAddr"], document["Name"], document["Mtu"], document["LinkType"], addresses)


def route_of(document):
    return Route(document["Dest"], document["Gateway"], document["Device"], document["Source"], document["Scope"])


class Call:
    """One call of the runtime; end_usec and status are None while it runs, or when it was killed."""

    def __init__(self, begin):
        self.pid, self.verb, self.id = begin["pid"], begin["verb"], begin["id"]
        self.begin_usec, self.overlap, self.document = begin["usec"], begin["overlap"], begin["document"]
        self.end_usec = self.status = None
        self.error = ""

    @property
    def iface(self):
        return iface_of(self.document)

    @property
    def routes(self):
        return {route_of(route) for route in self.document}

    @property
    def is_done(self):
        return self.status == 0

    def __repr__(self):
        what = ""
        if isinstance(self.document, dict):
            what = f"{self.iface.name} {self.iface.mac} {self.iface.mtu} {sorted(self.iface.addresses)}"
        elif self.document is not None:
            what = f"{len(self.document)} routes " + "; ".join(" ".join(map(str, r)) for r in list(self.routes)[:4])
        return f"{self.begin_usec} {self.verb} pid {self.pid} status {self.status} {self.error!r} {what}"


class Log:
    """The stub's calls, read as they come."""

    def __init__(self, path):
        self.path, self.offset, self.calls, self.open = path, 0, [], {}

    def read(self):
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read()
            data = data[:data.rfind(b"\n") + 1]
            self.offset += len(data)
            for line in data.splitlines():
                self.take(json.loads(line))
        return self.calls

    def take(self, line):
        key = line["pid"], line["usec"]
        if line["kind"] == "begin":
            self.open[key] = Call(line)
            self.calls.append(self.open[key])
        else:
            call = self.open.pop(key)
            call.end_usec, call.status, call.error = line["end_usec"], line["status"], line["error"]


PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


def audit_fields(line):
    return {key: value[1:-1] if value.startswith('"') else value for key, value in PAIR.findall(line)}


# ---- the program ----


class Monitor:
    """One run of kata-netmon."""

    def __init__(self, sandbox, argv, *, netns=None, env=None, **popen):
        self.sandbox = sandbox
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.DEVNULL)
        self.stderr_path = sandbox.path(f"stderr-{len(sandbox.monitors)}")
        with contextlib.ExitStack() as stack:
            if "stderr" not in popen:
                popen["stderr"] = stack.enter_context(open(self.stderr_path, "wb"))
            if netns:
                stack.enter_context(inside(netns))
            self.process = subprocess.Popen(argv, env=sandbox.environment(env), cwd="/", **popen)
        self.pid = self.process.pid
        sandbox.monitors.append(self)

    def is_alive(self):
        return self.process.poll() is None

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        return self.ended()

    def ended(self, seconds=10):
        """The exit status, once it has one."""
        wait(lambda: not self.is_alive(), "the monitor ends", seconds)
        return self.process.returncode

    def term(self):
        """SIGTERM. The exit status, and how long it took in ms."""
        before = now_usec()
        self.process.send_signal(signal.SIGTERM)
        return self.ended(), (now_usec() - before) / 1000

    def stderr(self):
        try:
            with open(self.stderr_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory_kib(self, field):
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(rf"^{field}:\s+(\d+)", file.read(), re.MULTILINE).group(1))


# ---- a sandbox ----


class Sandbox:
    """A pod's namespace with its peers in another, a stub runtime, and the monitors that a case starts."""

    counter = 0

    def __init__(self):
        Sandbox.counter += 1
        self.number = Sandbox.counter
        self.id = f"sandbox-{self.number}"
        self.pod, self.peers = f"pod{self.number}", f"peers{self.number}"
        self.directory = tempfile.mkdtemp(prefix="netmon-e2e-")
        self.stub_directory = self.path("stub.d")
        os.makedirs(f"{self.stub_directory}/ifaces")
        self.runtime = self.path("runtime")
        os.symlink(STUB, self.runtime)
        self.log = Log(f"{self.stub_directory}/calls")
        self.monitors, self.children, self.mounts = [], [], []
        self.may_violate = False
        self.links = 0
        self.namespaces = []
        for netns in (self.pod, self.peers):
            self.namespace(netns)

    def close(self):
        for monitor in self.monitors:
            monitor.process.kill()
            monitor.process.wait()
        for child in self.children:
            child.kill()
            child.wait()
        kill_leftovers()
        for path in self.mounts:
            unmount(path)
        for netns in self.namespaces:
            run("ip", "netns", "del", netns, ok=False)
        for path in (self.directory, f"{STATE_DIR}/{self.id}", f"/run/vc/sbs/{self.id}", f"/run/kata/{self.id}"):
            shutil.rmtree(path, ignore_errors=True)

    # -- files

    def path(self, name):
        return os.path.join(self.directory, name)

    def state_path(self, name=""):
        return os.path.join(STATE_DIR, self.id, name).rstrip("/")

    def knob(self, name, text=""):
        """How the stub behaves from the next call on."""
        path = os.path.join(self.stub_directory, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(str(text))
        os.rename(path + ".new", path)

    def unknob(self, name):
        os.unlink(os.path.join(self.stub_directory, name))

    def script(self, text):
        """A runtime that is a script; the stub is $STUB."""
        path = self.path("script")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
        return path

    def tmpfs(self, name, size):
        path = self.path(name)
        os.mkdir(path)
        mount("tmpfs", path, "tmpfs", 0, f"size={size},mode=755")
        self.mounts.append(path)
        return path

    # -- namespaces and links

    def namespace(self, name):
        run("ip", "netns", "add", name)
        self.namespaces.append(name)
        ip(name, "link set lo up")
        return name

    def veth(self, name, *lines, up=True, peer_up=True, mac=None, mtu=1500):
        """Makes a link whose other end is with the peers, as p-NAME. lines: more for the pod, {} is the name."""
        self.links += 1
        mac = mac or f"02:00:00:{self.number & 0xff:02x}:{self.links >> 8:02x}:{self.links & 0xff:02x}"
        ip(self.pod, f"link add {name} address {mac} mtu {mtu} type veth peer name p-{name} netns {self.peers}")
        if peer_up:
            ip(self.peers, f"link set p-{name} up")
        ip(self.pod, *(line.format(name) for line in lines), *([f"link set {name} up"] if up else []))
        return mac

    def eth0(self):
        """The link of a pod that the runtime has cold-plugged: 172.17.0.2/16 and a default route."""
        mac = self.veth("eth0", "addr add 172.17.0.2/16 dev {}", mac=f"02:42:ac:11:{self.number & 0xff:02x}:02")
        ip(self.pod, "route add default via 172.17.0.1")
        self.cold_plug("eth0")
        return mac

    def cold_plug(self, name):
        """The guest has it before anybody says so."""
        for link in ip_json(self.pod, "-d", "addr", "show", "dev", name):
            iface = iface_of_kernel(link)
            addresses = [{"Family": 10 if ":" in a else 2, "Address": a.split("/")[0], "Mask": a.split("/")[1]}
                         for a in iface.addresses]
            document = {"Device": name, "Name": name, "Mtu": iface.mtu, "RawFlags": 0, "HwAddr": iface.mac,
                        "LinkType": iface.kind, "PciPath": {}, "IPAddresses": addresses or None}
            with open(f"{self.stub_directory}/ifaces/{iface.mac}", "w", encoding="utf-8") as file:
                json.dump(document, file)

    def pod_ip(self, *lines, ok=True):
        return ip(self.pod, *lines, ok=ok)

    def busy(self, *lines):
        """A process that does this in the pod again and again until it is killed."""
        with inside(self.pod):
            self.children.append(subprocess.Popen(["sh", "-c", "while :; do ip -force -batch \"$0\"; done", self.batch_file(lines)],
                                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True))
        return self.children[-1]

    def batch_file(self, lines):
        path = f"{self.directory}/batch-{len(self.children)}"
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        return path

    def peers_ip(self, *lines, ok=True):
        return ip(self.peers, *lines, ok=ok)

    def peer_is_there(self, name):
        with inside(self.peers):
            return f"p-{name}" in [interface for _, interface in socket.if_nameindex()]

    # -- the program

    def environment(self, more=None):
        env = dict(os.environ, STUB_DIR=self.stub_directory, STUB=STUB)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            env[name] = ":".join(filter(None, [env.get(name), f"log_path={self.path('sanitizer')}"]))
        env.update(more or {})
        return env

    def argv(self, *options, runtime=None):
        return [PROGRAM, "-r", runtime or self.runtime, "-s", self.id, *options]

    def start(self, *options, runtime=None, inside_netns=True, wait_started=True, **popen):
        """Starts a monitor with its log on stderr and its audit in a file, and waits for its first look."""
        argv = self.argv("-log", "info", "--log-target", "stderr", "--audit", self.path("audit"), *options,
                         runtime=runtime)
        starts = len(self.audit(op="resync", reason="start"))
        monitor = Monitor(self, argv, netns=self.pod if inside_netns else None, **popen)
        if wait_started:
            wait(lambda: len(self.audit(op="resync", reason="start")) > starts or not monitor.is_alive(),
                 "the first look")
            expect(monitor.is_alive(), "the monitor ended at once: " + monitor.stderr())
        return monitor

    def start_told(self, *options, **more):
        """Starts, and waits for the first route set."""
        before = len(self.done("update-routes"))
        monitor = self.start(*options, **more)
        wait(lambda: len(self.done("update-routes")) > before, "the first route set")
        return monitor

    def child(self, netns=None):
        """A process that does nothing until it is killed."""
        with inside(netns) if netns else contextlib.nullcontext():
            self.children.append(subprocess.Popen(["sleep", "1000000"]))
        return self.children[-1]

    def end_child(self, child):
        child.kill()
        child.wait()

    def write_vm(self, pid, parent="/run/vc/sbs", name="persist.json"):
        """The sandbox's files as a Kata runtime leaves them."""
        directory = f"{parent}/{self.id}"
        os.makedirs(directory, mode=0o700, exist_ok=True)
        document = {"HypervisorState": {"Pid": pid, "Type": "qemu"}, "State": "running"}
        if name == "state.json":
            document = {"hypervisor": {"pid": pid, "hypervisor_type": "qemu"}}
        with open(f"{directory}/{name}.new", "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.rename(f"{directory}/{name}.new", f"{directory}/{name}")

    # -- what the runtime was told

    def calls(self, *verbs):
        return [call for call in self.log.read() if not verbs or call.verb in verbs]

    def done(self, *verbs):
        return [call for call in self.calls(*verbs) if call.is_done]

    def iface_calls(self):
        """(verb, name, addresses) of what was done with links."""
        return [(call.verb, call.iface.name, sorted(call.iface.addresses))
                for call in self.done("add-iface", "del-iface")]

    def guest_ifaces(self):
        """{MAC: Iface}"""
        result = {}
        for name in os.listdir(f"{self.stub_directory}/ifaces"):
            with contextlib.suppress(FileNotFoundError), open(f"{self.stub_directory}/ifaces/{name}", encoding="utf-8") as file:
                result[name] = iface_of(json.load(file))
        return result

    def guest_routes(self):
        try:
            with open(f"{self.stub_directory}/routes.json", encoding="utf-8") as file:
                return {route_of(route) for route in json.load(file)}
        except FileNotFoundError:
            return None

    def truth(self):
        """Links and routes as the guest should have them when links are told as they are now."""
        ifaces = {}
        for link in ip_json(self.pod, "-d", "addr", "show"):
            if is_wanted(link):
                iface = iface_of_kernel(link)
                ifaces[iface.mac] = iface
        return ifaces, routes_of_kernel(self.pod, {iface.name for iface in ifaces.values()})

    def routes_are_true(self):
        return self.guest_routes() == self.truth()[1]

    def is_true(self):
        return (self.guest_ifaces(), self.guest_routes()) == self.truth()

    def wait_routes(self, seconds=10):
        """The guest's routes are the pod's."""
        try:
            wait(self.routes_are_true, "routes", seconds)
        except Failure:
            expect_equal(self.guest_routes(), self.truth()[1], "routes")

    def wait_true(self, seconds=10):
        """The guest's links and routes are the pod's."""
        try:
            wait(self.is_true, "links and routes", seconds)
        except Failure:
            expect_equal((self.guest_ifaces(), self.guest_routes()), self.truth(), "links and routes")

    def wait_iface_calls(self, wanted, what="calls", seconds=10):
        """Exactly these; see iface_calls()."""
        try:
            wait(lambda: len(self.iface_calls()) >= len(wanted), what, seconds)
        except Failure:
            pass
        expect_equal(self.iface_calls(), wanted, what)

    def quiet(self, what, seconds=0.4):
        """Nothing is told for a while: longer than the last confirming dump, which comes after 250 ms."""
        before = list(self.calls())
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            expect_equal(self.calls()[len(before):], [], what)
            time.sleep(0.01)

    def calm(self, seconds=0.4):
        """Waits until nothing is under way and nothing was told for a while."""
        def is_calm():
            calls = self.calls()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                if len(self.calls()) != len(calls):
                    return False
                time.sleep(0.01)
            return not [call for call in calls if call.status is None and os.path.exists(f"/proc/{call.pid}")]
        wait(is_calm, "it comes to rest", 20)

    def audit(self, **wanted):
        """Records of the audit file that have these fields."""
        try:
            with open(self.path("audit"), encoding="utf-8", errors="replace") as file:
                records = [audit_fields(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [record for record in records if all(record.get(key) == value for key, value in wanted.items())]

    def wait_audit(self, text, **wanted):
        """Records of these fields whose reason has this text in it."""
        return wait(lambda: [r for r in self.audit(**wanted) if text in r.get("reason", "")],
                    f"an audit record {wanted} with '{text}'")

    # -- the end

    def violations(self):
        try:
            with open(f"{self.stub_directory}/violations", encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def sanitizer_reports(self):
        """
        Not a report, and left out: what the leak checker's tracer says when the process that it looks at is killed
        under it, as cases do to one that may be just ending. Source: compiler-rt, sanitizer_stoptheworld_linux_libcdep.cpp.
        """
        killed = re.compile(r"^==\d+==Unable to get registers from thread \d+\.\n", re.MULTILINE)
        texts = []
        for name in sorted(os.listdir(self.directory)):
            if name.startswith("sanitizer."):
                with open(self.path(name), encoding="utf-8", errors="replace") as file:
                    texts.append(killed.sub("", file.read()))
        return "\n".join(filter(None, texts))

    def check_end(self):
        """What holds at the end of every case. Monitors that run are asked to end: their leaks are looked for."""
        for monitor in self.monitors:
            if monitor.is_alive():
                status, _ = monitor.term()
                expect_equal(status, 0, "exit status after SIGTERM")
        reports = self.sanitizer_reports()
        expect(not reports, "sanitizer:\n" + reports)
        for monitor in self.monitors:
            expect(not re.search(r"runtime error:|ERROR: \w+Sanitizer", monitor.stderr()), monitor.stderr())
        expect(self.may_violate or not self.violations(), "the stub runtime was not called as it must be:\n" + self.violations())

    def describe(self):
        """For whoever reads a failure."""
        yield f"monitors: {[(m.pid, m.process.returncode) for m in self.monitors]}"
        yield from (f"call: {call}" for call in self.calls()[-40:])
        for netns in (self.pod, self.peers):
            yield from run("ip", "-n", netns, "-br", "addr", ok=False).splitlines()[:30]
        yield from run("ip", "-n", self.pod, "route", ok=False).splitlines()[:30]
        for monitor in self.monitors[-3:]:
            yield from (f"stderr {monitor.pid}: {line}" for line in monitor.stderr().splitlines()[-30:])


def is_wanted(link):
    """The default view, see view.h."""
    kind = link.get("linkinfo", {}).get("info_kind", "")
    return kind in ("veth", "tun", "macvlan") and "master" not in link and not link["ifname"].endswith("kata")


def iface_of_kernel(link):
    addresses = frozenset(f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]
                          if "local" in a and not (a["family"] == "inet6" and a["scope"] == "link"))
    kind = link["linkinfo"]["info_kind"]
    return Iface(link["address"], link["ifname"], link["mtu"], "tap" if kind == "tun" else kind, addresses)


def routes_of_kernel(netns, devices):
    """Main table, unicast, not the kernel's own, of equal destinations the lowest metric."""
    best = {}
    for family, length in (("-4", 32), ("-6", 128)):
        for route in ip_json(netns, family, "route", "show", "table", "main"):
            dest = "" if route["dst"] == "default" else route["dst"]
            if dest and "/" not in dest:
                dest = f"{dest}/{length}"
            metric = route.get("metric", 0)
            if (route.get("protocol") == "kernel" or route.get("type", "unicast") != "unicast" or "via" in route
                    or route.get("dev") not in devices or metric >= best.get((family, dest), (1 << 32,))[0]):
                continue
            best[family, dest] = metric, Route(dest, route.get("gateway", ""), route["dev"], route.get("prefsrc", ""),
                                               SCOPES[route.get("scope", "global")])
    return {route for _, route in best.values()}


# ---- cases ----

CASES = []
SLOWNESS = 5 if os.path.exists(PROGRAM) and is_sanitized() else 1


def case(function):
    CASES.append(function)
    return function


def run_case(function):
    """True: it went well."""
    name = function.__name__
    sandbox = Sandbox()
    before = time.monotonic()
    wrong = None
    try:
        function(sandbox)
        sandbox.check_end()
    except Exception as error:
        wrong = str(error) if isinstance(error, Failure) else traceback.format_exc()
        places = traceback.extract_tb(error.__traceback__)
        line = next((p.lineno for p in reversed(places) if not p.filename.endswith("harness.py")), 0)
        print(f"{name}, line {line}: {wrong}")
        with contextlib.suppress(Exception):
            print("\n".join("    " + text for text in sandbox.describe()))
    finally:
        sandbox.close()
    print(f"{'not ok' if wrong else 'ok'} {name} # {time.monotonic() - before:.1f} s", flush=True)
    return not wrong


def main(before=None, after=None):
    """
    Runs the cases of the file, or those named as arguments. before(): what needs the network of the machine, which
    the cases have not. after(): when all are through.
    """
    if os.geteuid() != 0:
        print("ok all # SKIP needs root: it makes network namespaces")
        sys.exit(77)
    for path in (PROGRAM, STUB):
        if not os.path.exists(path):
            sys.exit(f"{path} is not built; NETMON_PROGRAM and NETMON_STUB say where the two programs are")
    if before:
        before()
    sys.stdout.flush()
    make_world()
    os.umask(0o022)
    wanted = [function for function in CASES if len(sys.argv) < 2 or function.__name__ in sys.argv[1:]]
    failed = [function.__name__ for function in wanted if not run_case(function)]
    if after:
        after()
    sys.stdout.flush()
    os._exit(1 if failed or not wanted else 0)


def seed():
    """Of what is random; NETMON_SEED repeats it."""
    number = int(os.environ.get("NETMON_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"NETMON_SEED={number}", flush=True)
    return random.Random(number)
