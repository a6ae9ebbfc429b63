# SPDX-License-Identifier: Apache-2.0
"""A virtual machine of a test: QEMU with an emulated processor, a guest of guest.py, and ways into it.

    with machine.Machine({"/bin/netmon-agent": path}) as vm:
        vm.plug("eth0", pod_netns, mac)         # a NIC whose tap lies in that namespace
        print(vm.run("ip -j addr"))             # in the guest
        vm.vsock                                # hybrid vsock: hvsock://PATH:PORT reaches the guest's AF_VSOCK
        vm.serial_port                          # the host's end of the guest's /dev/virtio-ports/...

Waits are conditions with deadlines, wide enough for a machine that is busy with other tests. All that was started
ends with the object, or with the process that it belongs to.
"""

import array
import collections
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import guest  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BACKEND = os.path.join(HERE, "vhuvsock.py")
SHELL_PORT = 1025
PORT_NAME = "netmon.agent.0"  # of the virtio-serial port
MEMORY = "192M"
NICS_MAX = 4
BOOT_SEC, CALL_SEC = 60, 60
COMMAND_LINE = "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check"

TUNSETIFF = 0x400454ca
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class Fault(Exception):
    """The machine did not do what it should."""


def wait(condition, what, seconds=CALL_SEC):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Fault(f"did not come within {seconds:g} s: {what}")
        time.sleep(0.01)


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(argv, log):
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)


@contextlib.contextmanager
def inside(netns):
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{netns}") as there:
        check(libc.setns(there.fileno(), CLONE_NEWNET))
        try:
            yield
        finally:
            check(libc.setns(home.fileno(), CLONE_NEWNET))


def open_tap(name, netns):
    """A tap belongs to the namespace that /dev/net/tun was opened in; its fd works from everywhere."""
    with inside(netns):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    return fd


# ---- QMP ----


class Qmp:
    """QEMU's control socket. Source: QEMU docs/interop/qmp-spec.rst."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(CALL_SEC)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")
        self.events = []
        self.line()  # its greeting
        self.call("qmp_capabilities")

    def line(self):
        line = self.file.readline()
        if not line:
            raise Fault("QEMU has closed its control socket")
        return json.loads(line)

    def call(self, command, send_fd=None, **arguments):
        message = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        control = [] if send_fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [send_fd]))]
        self.socket.sendmsg([message], control)
        while True:
            answer = self.line()
            if "error" in answer:
                raise Fault(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def event(self, name, device):
        """Waits until this came for that device."""
        while True:
            for event in self.events:
                if event["event"] == name and event.get("data", {}).get("device") == device:
                    self.events.remove(event)
                    return
            self.events.append(self.line())

    def close(self):
        self.file.close()
        self.socket.close()


# ---- the machine ----

Result = collections.namedtuple("Result", "status output")


class Machine:
    cid = 42

    def __init__(self, programs, shell):
        """programs: {name in the guest: file here}. shell: the file of guest-shell."""
        self.directory = tempfile.mkdtemp(prefix="netmon-vm-")
        self.processes, self.nics, self.qmp = [], {}, None
        self.vsock, self.serial_port = self.path("vsock"), self.path("port")
        self.log = open(self.path("log"), "wb")
        try:
            self.boot(programs, shell)
        except BaseException:
            self.close()
            raise

    def path(self, name):
        return os.path.join(self.directory, name)

    def boot(self, programs, shell):
        kernel = guest.kernel()
        guest.write_initramfs(self.path("initramfs"), kernel, shell, programs)
        self.backend = self.start([sys.executable, "-B", BACKEND, self.path("device"), self.vsock, str(self.cid)])
        self.wait(lambda: os.path.exists(self.path("device")), "the vsock backend")
        self.qemu = self.start(self.argv(kernel))
        self.qmp = self.wait(self.connect_qmp, "QEMU's control socket")
        self.wait(self.answers, "the guest answers", BOOT_SEC)

    def connect_qmp(self):
        """None: QEMU does not listen yet. (bind() makes the path, listen() comes later.)"""
        try:
            return Qmp(self.path("qmp"))
        except (FileNotFoundError, ConnectionRefusedError):
            return None

    def start(self, argv):
        self.processes.append(start(argv, self.log))
        return self.processes[-1]

    def argv(self, kernel):
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64,+rdrand", "-m", MEMORY, "-nodefaults",
                "-no-user-config", "-display", "none", "-no-reboot",
                "-object", f"memory-backend-memfd,id=memory,size={MEMORY},share=on", "-M", "q35,memory-backend=memory",
                "-kernel", os.path.join(kernel, "vmlinux"), "-initrd", self.path("initramfs"), "-append", COMMAND_LINE,
                "-serial", f"file:{self.path('serial')}",
                "-qmp", f"unix:{self.path('qmp')},server=on,wait=off",
                "-chardev", f"socket,id=vsock,path={self.path('device')}", "-device", "vhost-user-vsock-pci,chardev=vsock",
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=port,path={self.serial_port},server=on,wait=off",
                "-device", f"virtserialport,chardev=port,name={PORT_NAME}"]
        for slot in range(NICS_MAX):
            argv += ["-device", f"pcie-root-port,id=slot{slot},chassis={slot + 1},slot={slot + 1}"]
        return argv

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Without a word to the guest: it has nothing that is worth keeping."""
        if self.qmp:
            self.qmp.close()
        for process in self.processes:
            process.kill()
            process.wait()
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait(self, condition, what, seconds=CALL_SEC):
        """As wait(), and ends at once when the machine does."""
        def or_dead():
            if any(process.poll() is not None for process in self.processes):
                raise Fault(f"the machine has ended before: {what}")
            return condition()
        try:
            return wait(or_dead, what, seconds)
        except Fault as fault:
            raise Fault(f"{fault}\n{self.said()}") from None

    def said(self):
        """What QEMU, the backend and the guest's console said last."""
        texts = []
        for name in ("log", "serial"):
            with contextlib.suppress(OSError), open(self.path(name), encoding="utf-8", errors="replace") as file:
                texts += [f"{name}: {line.rstrip()}" for line in file.readlines()[-20:]]
        return "\n".join(texts)

    # -- into the guest

    def connect(self, port, source=""):
        """A socket that is connected to a port of the guest's, or None. source: "CID:PORT" of a VM beside it."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(CALL_SEC)
        try:
            sock.connect(self.vsock)
            sock.sendall(f"CONNECT {port} {source}".strip().encode() + b"\n")
            line = b""
            while not line.endswith(b"\n"):
                data = sock.recv(1)
                if not data:
                    raise ConnectionError
                line += data
        except ConnectionError:
            sock.close()
            return None
        if not line.startswith(b"OK "):
            raise Fault(f"hybrid vsock said {line}")
        return sock

    def answers(self):
        sock = self.connect(SHELL_PORT)
        if sock:
            sock.close()
        return sock is not None

    def open_shell(self, command):
        """A socket that is the standard input and output of a command in the guest."""
        sock = self.connect(SHELL_PORT)
        if sock is None:
            raise Fault("the guest's shell does not answer\n" + self.said())
        sock.sendall(command.encode() + b"\0")
        return sock

    def result(self, command, data=b""):
        with self.open_shell(command) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            output = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        head, mark, status = output.rpartition(b"\0")
        if not mark or not status.isdigit():
            raise Fault(f"the guest's shell was cut off in: {command}\n{output[-500:]}")
        return Result(int(status), head.decode(errors="replace"))

    def run(self, command, data=""):
        """What it says. It has to succeed."""
        result = self.result(command, data.encode())
        if result.status:
            raise Fault(f"in the guest: {command}: status {result.status}: {result.output}")
        return result.output

    def ip_json(self, *argv):
        return json.loads(self.run("/sbin/ip -j " + " ".join(argv)) or "[]")

    # -- NICs

    def plug(self, name, netns, mac, mtu=1500):
        """A NIC of the guest whose other end is a tap of this name. Returns when the guest has it."""
        slot = next(slot for slot in range(NICS_MAX) if slot not in self.nics.values())
        fd = open_tap(name, netns)
        try:
            self.qmp.call("getfd", send_fd=fd, fdname=name)
        finally:
            os.close(fd)
        self.qmp.call("netdev_add", type="tap", id=f"net-{name}", fd=name)
        # Without addr a busy slot takes it silently, and the guest never sees it.
        self.qmp.call("device_add", driver="virtio-net-pci", id=name, netdev=f"net-{name}", bus=f"slot{slot}", addr="0",
                      mac=mac, romfile="", host_mtu=mtu)
        self.nics[name] = slot
        self.wait(lambda: self.has_nic(mac), f"the guest's NIC {mac}")

    def has_nic(self, mac):
        return mac in self.run("cat /sys/class/net/*/address").split()

    def unplug(self, name):
        """A request for it may be lost while the guest starts; it is repeated by nobody, since there it does not start."""
        self.qmp.call("device_del", id=name)
        self.qmp.event("DEVICE_DELETED", name)
        self.qmp.call("netdev_del", id=f"net-{name}")
        del self.nics[name]

    # -- its life

    def pause(self):
        self.qmp.call("stop")

    def resume(self):
        self.qmp.call("cont")

    def cut_connections(self):
        """All that go through the hybrid socket end, on both sides."""
        self.backend.send_signal(signal.SIGUSR1)

    def freeze_connections(self):
        """Nothing goes through any more, and nobody is told."""
        self.backend.send_signal(signal.SIGSTOP)

    def thaw_connections(self):
        self.backend.send_signal(signal.SIGCONT)

    def power_off(self):
        """By the guest itself: QEMU ends."""
        with contextlib.suppress(Fault, OSError):
            self.result("poweroff -f")
        wait(lambda: self.qemu.poll() is not None, "the machine is off")


@contextlib.contextmanager
def wired(netns, one, other):
    """What comes in at one goes out at the other, as Kata's tcfilter has it: the pod's own stack is deaf on it then."""
    def tc(*argv):
        subprocess.run(["tc", "-n", netns, *argv], check=True, capture_output=True)
    for here, there in ((one, other), (other, one)):
        tc("qdisc", "add", "dev", here, "ingress")
        tc("filter", "add", "dev", here, "parent", "ffff:", "protocol", "all", "prio", "1", "u32", "match", "u32", "0", "0",
           "action", "mirred", "egress", "redirect", "dev", there)
    try:
        yield
    finally:
        # The filter outlives the tap, and would drop everything from then on.
        subprocess.run(["tc", "-n", netns, "qdisc", "del", "dev", one, "ingress"], check=False, capture_output=True)
