#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""vhuvsock.py DEVICE HOST CID: gives a QEMU guest real AF_VSOCK, with no vsock in the host's kernel.

The guest has a virtio vsock device, served by this process over vhost-user on the unix socket DEVICE:

    -object memory-backend-memfd,id=mem,size=...,share=on -M q35,memory-backend=mem
    -chardev socket,id=vsock,path=DEVICE -device vhost-user-vsock-pci,chardev=vsock

The host has what Firecracker and Cloud Hypervisor call hybrid vsock, on the unix socket HOST: a client connects,
writes "CONNECT PORT\\n", and after the line "OK N\\n" it is connected to that port of the guest. What the guest itself
connects to is refused. "CONNECT PORT CID:PORT\n" comes from there, as if from another VM beside the guest.

Bytes wait where they come from: a host's socket is read only when the guest has a buffer and credit for it, and the
guest gets credit only for what its peer has taken. A stopped machine (QMP stop) costs no connection. A half of a
connection is closed as a half. SIGUSR1 cuts every connection, on both sides.

One guest, which ends with its QEMU. For tests: split rings, no indirect descriptors, no event index.

Source: Virtual I/O Device 1.2, 2.7 (split rings), 5.10 (socket device); QEMU docs/interop/vhost-user.rst; firecracker
docs/vsock.md.
"""

import array
import collections
import contextlib
import mmap
import os
import re
import select
import signal
import socket
import struct
import sys

CREDIT = 256 * 1024  # bytes that the guest may send before they are taken: per connection
PACKET_MAX = 64 * 1024  # bytes of data of one packet
CONNECTIONS_MAX = 256
LINE_MAX = 48  # bytes of "CONNECT PORT CID:PORT\n"
HOST_CID = 2
FIRST_PORT = 1 << 30  # of the host's ends

# ---- the guest's memory and rings ----

DESC_NEXT, DESC_WRITE = 1, 2
DESCRIPTOR = struct.Struct("<QIHH")  # address, length, flags, next


class Broken(Exception):
    """The guest or QEMU did what no correct one does."""


class Memory:
    """The guest's memory, as QEMU shares it."""

    def __init__(self):
        self.regions = []

    def set(self, regions, fds):
        # What was mapped before goes with the last view of it.
        self.regions = []
        for (guest, size, user, offset), fd in zip(regions, fds):
            self.regions.append((guest, size, user, memoryview(mmap.mmap(fd, size + offset))[offset:]))
            os.close(fd)

    def at_guest(self, address, size):
        for guest, length, _, view in self.regions:
            if guest <= address and address + size <= guest + length:
                return view[address - guest:address - guest + size]
        raise Broken(f"no memory at {address:#x}")

    def at_user(self, address, size):
        for _, length, user, view in self.regions:
            if user <= address and address + size <= user + length:
                return view[address - user:address - user + size]
        raise Broken(f"no ring at {address:#x}")


class Ring:
    """A split virtqueue, from the device's side."""

    def __init__(self):
        self.size = self.next = 0
        self.addresses = None
        self.kick = self.call = None
        self.is_running = self.was_started = False

    def start(self, memory):
        descriptors, used, available = self.addresses
        self.memory = memory
        self.descriptors = memory.at_user(descriptors, 16 * self.size)
        # Numbers that the other side reads meanwhile: as native words they are written in one piece.
        self.available = memory.at_user(available, 4 + 2 * self.size).cast("H")
        self.used_index = memory.at_user(used, 4).cast("H")
        self.used = memory.at_user(used + 4, 8 * self.size).cast("I")
        self.is_running = self.was_started = True

    def has_buffers(self):
        return self.is_running and self.available[1] != self.next

    def take(self):
        """(its number, what the device may read, what it may write): the next chain of buffers. There is one."""
        head = index = self.available[2 + self.next % self.size]
        self.next = (self.next + 1) & 0xffff
        readable, writable = [], []
        for _ in range(self.size):
            address, length, flags, following = DESCRIPTOR.unpack_from(self.descriptors, 16 * index)
            (writable if flags & DESC_WRITE else readable).append(self.memory.at_guest(address, length))
            if not flags & DESC_NEXT:
                return head, readable, writable
            index = following
        raise Broken("a chain of buffers without end")

    def give_back(self, head, size):
        place = self.used_index[1] % self.size * 2
        self.used[place], self.used[place + 1] = head, size
        self.used_index[1] = (self.used_index[1] + 1) & 0xffff

    def notify(self):
        """Always: to look first whether the guest wants it needs a barrier that python has none of."""
        if self.call is not None:
            os.eventfd_write(self.call, 1)


# ---- packets ----

HEADER = struct.Struct("<QQIIIHHIII")
Packet = collections.namedtuple("Packet", "source_cid cid source_port port size type op flags credit taken")
STREAM = 1
REQUEST, RESPONSE, RESET, SHUTDOWN, DATA, CREDIT_UPDATE, CREDIT_REQUEST = range(1, 8)
NO_RECEIVE, NO_SEND = 1, 2  # flags of SHUTDOWN: what the sender will not do any more


class Connection:
    """A host's socket and a port of the guest. `out` is for the host; for the guest nothing is kept."""

    def __init__(self, sock, host_port, guest_port, host_cid=HOST_CID):
        self.socket, self.host_port, self.guest_port, self.host_cid = sock, host_port, guest_port, host_cid
        self.is_open = False  # both sides have said yes
        self.out = bytearray()
        self.line = b""  # "OK N\n", before all else
        self.sent = self.guest_taken = self.guest_credit = 0
        self.taken = self.taken_told = 0
        self.host_ended = False  # the host sends no more
        self.guest_shutdown = 0
        self.mask = None  # what epoll looks for; None: it does not look

    def credit(self):
        """Bytes that the guest has room for."""
        return max(0, self.guest_credit - (self.sent - self.guest_taken & 0xffffffff))


class Device:
    """The device's three queues and all connections."""

    def __init__(self, cid, epoll):
        self.cid, self.epoll = cid, epoll
        self.memory = Memory()
        self.to_guest, self.from_guest, self.events = self.rings = Ring(), Ring(), Ring()
        self.connections = {}  # by (host's port, guest's port)
        self.by_fd = {}
        self.control = collections.deque()  # packets without data that wait for a buffer
        self.next_port = FIRST_PORT

    # -- to the guest

    def header(self, connection, op, size=0, flags=0):
        connection.taken_told = connection.taken
        return HEADER.pack(connection.host_cid, self.cid, connection.host_port, connection.guest_port, size, STREAM, op, flags,
                           CREDIT, connection.taken & 0xffffffff)

    def put(self, connection, op, flags=0):
        self.control.append(self.header(connection, op, flags=flags))
        self.flush()

    def flush(self):
        if not self.control or not self.to_guest.has_buffers():
            return
        while self.control and self.to_guest.has_buffers():
            head, _, writable = self.to_guest.take()
            self.to_guest.give_back(head, fill(writable, self.control.popleft()))
        self.to_guest.notify()

    def room(self, connection):
        """Bytes of this connection that may be read now."""
        return connection.credit() if not self.control and self.to_guest.has_buffers() else 0

    def pass_on(self, connection):
        """One packet from a host's socket into a buffer of the guest's."""
        data = receive(connection.socket, min(self.room(connection), PACKET_MAX, self.buffer_size() - HEADER.size))
        if data is None:
            return
        if not data:
            self.host_ended(connection)
            return
        connection.sent += len(data)
        head, _, writable = self.to_guest.take()
        self.to_guest.give_back(head, fill(writable, self.header(connection, DATA, len(data)) + data))
        self.to_guest.notify()

    def buffer_size(self):
        """Of the next chain of the guest's; it is not taken."""
        before = self.to_guest.next
        _, _, writable = self.to_guest.take()
        self.to_guest.next = before
        return sum(map(len, writable))

    def host_ended(self, connection):
        """No more comes from the host's side: all of it is closed, or only that half."""
        connection.host_ended = True
        if is_hung_up(connection.socket):
            self.host_is_gone(connection)
        else:
            self.put(connection, SHUTDOWN, NO_SEND)

    def host_is_gone(self, connection):
        """The guest has the rest of what was sent, and answers with a reset when it has read that."""
        self.close_socket(connection)
        connection.taken += len(connection.out)
        connection.out.clear()
        connection.line = b""
        self.put(connection, SHUTDOWN, NO_SEND | NO_RECEIVE)

    # -- from the guest

    def receive(self):
        taken = False
        while self.from_guest.has_buffers():
            head, readable, _ = self.from_guest.take()
            data = b"".join(readable)
            self.from_guest.give_back(head, 0)
            taken = True
            packet = Packet(*HEADER.unpack_from(data))
            self.packet(packet, data[HEADER.size:HEADER.size + packet.size])
        if taken:
            self.from_guest.notify()

    def packet(self, packet, data):
        connection = self.connections.get((packet.port, packet.source_port))
        if connection:
            connection.guest_credit, connection.guest_taken = packet.credit, packet.taken
            self.of_connection(connection, packet, data)
        elif packet.op != RESET:
            self.put(Connection(None, packet.port, packet.source_port), RESET)

    def of_connection(self, connection, packet, data):
        if packet.op == RESPONSE:
            connection.is_open = True
            connection.line = b"OK %d\n" % connection.host_port
        elif packet.op == DATA:
            connection.out += data
        elif packet.op == RESET:
            self.finish(connection)
            return
        elif packet.op == CREDIT_REQUEST:
            self.put(connection, CREDIT_UPDATE)
        elif packet.op == SHUTDOWN:
            connection.guest_shutdown |= packet.flags
        if len(connection.out) > CREDIT:
            raise Broken("the guest sent more than it had credit for")
        self.write_host(connection)

    # -- to the host

    def write_host(self, connection):
        try:
            self.write_some(connection)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.host_is_gone(connection)
            return
        if connection.taken - connection.taken_told >= CREDIT // 4:
            self.put(connection, CREDIT_UPDATE)
        if not connection.out and not connection.line:
            self.end_of_guest(connection)

    def write_some(self, connection):
        while connection.line:
            connection.line = connection.line[connection.socket.send(connection.line):]
        while connection.out:
            size = connection.socket.send(connection.out) if connection.socket else len(connection.out)
            del connection.out[:size]
            connection.taken += size

    def end_of_guest(self, connection):
        """The host has all that came. What the guest has closed is closed now."""
        if connection.guest_shutdown & NO_SEND and connection.socket:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_WR)
        if connection.guest_shutdown == NO_SEND | NO_RECEIVE:
            self.put(connection, RESET)
            self.finish(connection)

    # -- connections

    def add(self, connection):
        connection.socket.setblocking(False)
        self.connections[connection.host_port, connection.guest_port] = connection
        self.by_fd[connection.socket.fileno()] = connection

    def connect_guest(self, sock, port, source=None):
        """source: (CID, port) that the guest sees, of a VM beside it; the host when None."""
        if not self.to_guest.was_started or len(self.connections) >= CONNECTIONS_MAX:
            sock.close()
            return
        self.next_port += 1
        cid, host_port = source or (HOST_CID, self.next_port)
        connection = Connection(sock, host_port, port, cid)
        self.add(connection)
        self.put(connection, REQUEST)

    def close_socket(self, connection):
        if connection.socket is None:
            return
        if connection.mask is not None:
            self.epoll.unregister(connection.socket)
            connection.mask = None
        del self.by_fd[connection.socket.fileno()]
        connection.socket.close()
        connection.socket = None

    def finish(self, connection):
        """A client that was waiting for its line sees the end instead: nobody listens there."""
        self.close_socket(connection)
        self.connections.pop((connection.host_port, connection.guest_port), None)

    def cut_all(self):
        for connection in list(self.connections.values()):
            self.put(connection, RESET)
            self.finish(connection)

    def wanted(self, connection):
        """What is of interest about a host's socket now. None: nothing, not even its end."""
        mask = select.EPOLLOUT if connection.out or connection.line else 0
        if connection.is_open and not connection.host_ended:
            if self.room(connection):
                return mask | select.EPOLLIN
            # Its end would be told again and again, and can't be passed on yet.
            return mask or None
        return mask if connection.is_open else None

    def watch(self):
        """Before each wait: epoll looks for what is of interest now."""
        for connection in self.by_fd.values():
            mask = self.wanted(connection)
            if mask == connection.mask:
                continue
            if mask is None:
                self.epoll.unregister(connection.socket)
            elif connection.mask is None:
                self.epoll.register(connection.socket, mask)
            else:
                self.epoll.modify(connection.socket, mask)
            connection.mask = mask

    def ready(self, connection, events):
        if events & select.EPOLLOUT:
            self.write_host(connection)
        if connection.socket and events & select.EPOLLIN and self.room(connection):
            self.pass_on(connection)
        elif connection.socket and events & (select.EPOLLHUP | select.EPOLLERR) and connection.host_ended:
            self.host_is_gone(connection)


def fill(buffers, data):
    done = 0
    for buffer in buffers:
        part = data[done:done + len(buffer)]
        buffer[:len(part)] = part
        done += len(part)
    if done < len(data):
        raise Broken("a buffer of the guest's is too small")
    return done


def receive(sock, size):
    """None: nothing now. Empty: the end, of whatever kind."""
    try:
        return sock.recv(size)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""


def is_hung_up(sock):
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & (select.POLLHUP | select.POLLERR) for _, events in poll.poll(0))


# ---- vhost-user ----

FEATURES = 1 << 32 | 1 << 30  # VIRTIO_F_VERSION_1, VHOST_USER_F_PROTOCOL_FEATURES
PROTOCOL_FEATURES = 1 << 3 | 1 << 9  # REPLY_ACK, CONFIG
VERSION, REPLY, NEED_REPLY = 1, 4, 8
NO_FD = 1 << 8


class FrontEnd:
    """QEMU: its messages set up the device. One handler a message; what has none needs none."""

    HANDLERS = {1: "get_features", 5: "set_memory", 8: "set_size", 9: "set_addresses", 10: "set_base", 11: "get_base",
                12: "set_kick", 13: "set_call", 14: "set_error", 15: "get_protocol_features", 17: "get_queues",
                24: "get_config"}

    def __init__(self, sock, device):
        self.socket, self.device = sock, device

    def message(self):
        """Return: False when QEMU has gone."""
        head, fds = self.read_head()
        if len(head) < 12:
            return False
        request, flags, size = struct.unpack("<III", head)
        body = self.socket.recv(size, socket.MSG_WAITALL) if size else b""
        name = self.HANDLERS.get(request)
        answer = getattr(self, name)(body, fds) if name else None
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            self.socket.sendall(struct.pack("<III", request, VERSION | REPLY, len(answer)) + answer)
        return True

    def read_head(self):
        fds = array.array("i")
        head, control, _, _ = self.socket.recvmsg(12, socket.CMSG_SPACE(8 * fds.itemsize))
        for _, _, data in control:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
        return head, list(fds)

    def get_features(self, _body, _fds):
        return struct.pack("<Q", FEATURES)

    def get_protocol_features(self, _body, _fds):
        return struct.pack("<Q", PROTOCOL_FEATURES)

    def get_queues(self, _body, _fds):
        return struct.pack("<Q", len(self.device.rings))

    def get_config(self, body, _fds):
        offset, size, flags = struct.unpack_from("<III", body)
        config = struct.pack("<Q", self.device.cid)
        return struct.pack("<III", offset, size, flags) + config[offset:offset + size].ljust(size, b"\0")

    def set_memory(self, body, fds):
        count, = struct.unpack_from("<I", body)
        self.device.memory.set([struct.unpack_from("<QQQQ", body, 8 + 32 * i) for i in range(count)], fds)
        for ring in self.device.rings:
            if ring.is_running:
                ring.start(self.device.memory)

    def set_size(self, body, _fds):
        index, size = struct.unpack("<II", body)
        self.device.rings[index].size = size

    def set_addresses(self, body, _fds):
        index, _, descriptors, used, available, _ = struct.unpack("<IIQQQQ", body)
        self.device.rings[index].addresses = descriptors, used, available

    def set_base(self, body, _fds):
        index, base = struct.unpack("<II", body)
        self.device.rings[index].next = base & 0xffff

    def get_base(self, body, _fds):
        """The ring stops, since the machine does: what is connected stays so."""
        index, _ = struct.unpack("<II", body)
        self.device.rings[index].is_running = False
        return struct.pack("<II", index, self.device.rings[index].next)

    def take_fd(self, body, fds):
        number, = struct.unpack("<Q", body)
        return self.device.rings[number & 0xff], fds[0] if fds and not number & NO_FD else None

    def set_kick(self, body, fds):
        ring, fd = self.take_fd(body, fds)
        if ring.kick is not None:
            self.device.epoll.unregister(ring.kick)
            os.close(ring.kick)
        ring.kick = fd
        if fd is not None:
            os.set_blocking(fd, False)
            self.device.epoll.register(fd, select.EPOLLIN)
        ring.start(self.device.memory)
        # What the guest put there before.
        self.device.receive()
        self.device.flush()

    def set_call(self, body, fds):
        ring, fd = self.take_fd(body, fds)
        if ring.call is not None:
            os.close(ring.call)
        ring.call = fd

    def set_error(self, body, fds):
        _, fd = self.take_fd(body, fds)
        if fd is not None:
            os.close(fd)


# ---- the loop ----


class Greeting:
    """A client that has not said yet where to."""

    def __init__(self, sock):
        self.socket, self.line = sock, b""

    def where(self):
        """(port, source). None: more is needed. False: that is none. Read byte by byte: what follows is the guest's."""
        while not self.line.endswith(b"\n"):
            data = receive(self.socket, 1)
            if data is None:
                return None
            self.line += data
            if not data or len(self.line) > LINE_MAX:
                return False
        found = re.fullmatch(rb"CONNECT (\d{1,10})(?: (\d{1,10}):(\d{1,10}))?\s*", self.line, re.IGNORECASE)
        port, *source = [int(number) for number in found.groups() if number] if found else [1 << 32]
        return (port, tuple(source) or None) if max(port, *source, 0) < 1 << 32 else False


class Server:
    def __init__(self, device_path, host_path, cid):
        self.epoll = select.epoll()
        self.device = Device(cid, self.epoll)
        self.hosts = listening(host_path, 64)
        self.front_end = None
        self.front_ends = listening(device_path, 1)
        self.greetings = {}
        self.signal, there = socket.socketpair()
        for sock in (self.signal, there):
            sock.setblocking(False)
        signal.set_wakeup_fd(there.fileno())
        signal.signal(signal.SIGUSR1, lambda *_: None)
        self.keep = there
        for sock in (self.hosts, self.front_ends, self.signal):
            self.epoll.register(sock, select.EPOLLIN)

    def run(self):
        while True:
            self.device.watch()
            for fd, events in self.epoll.poll():
                if not self.event(fd, events):
                    return

    def event(self, fd, events):
        """Return: False when QEMU has gone, and we with it."""
        if self.front_end and fd == self.front_end.socket.fileno():
            return self.front_end.message()
        if fd == self.front_ends.fileno():
            self.front_end = FrontEnd(self.front_ends.accept()[0], self.device)
            self.epoll.register(self.front_end.socket, select.EPOLLIN)
        elif fd == self.hosts.fileno():
            self.greet(self.hosts.accept()[0])
        elif fd == self.signal.fileno():
            self.signal.recv(64)
            self.device.cut_all()
        elif fd in self.greetings:
            self.greeting(self.greetings[fd])
        elif fd in self.device.by_fd:
            self.device.ready(self.device.by_fd[fd], events)
        else:
            self.kicked(fd)
        return True

    def kicked(self, fd):
        if fd in [ring.kick for ring in self.device.rings]:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(fd)
            self.device.receive()
            self.device.flush()

    def greet(self, sock):
        sock.setblocking(False)
        self.greetings[sock.fileno()] = Greeting(sock)
        self.epoll.register(sock, select.EPOLLIN)

    def greeting(self, greeting):
        where = greeting.where()
        if where is None:
            return
        self.epoll.unregister(greeting.socket)
        del self.greetings[greeting.socket.fileno()]
        if where:
            self.device.connect_guest(greeting.socket, *where)
        else:
            greeting.socket.close()


def listening(path, backlog):
    """Whoever sees the path can connect to it: it has that name only when it listens."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path + ".new")
    sock.listen(backlog)
    os.rename(path + ".new", path)
    return sock


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    Server(sys.argv[1], sys.argv[2], int(sys.argv[3])).run()
