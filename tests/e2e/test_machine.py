#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""What the tests with a guest stand on: the virtual machine, the shell in it, its vsock, its NICs, its pauses."""

import os
import select
import socket
import threading

import guests
from harness import case, expect, expect_equal, wait

MAC = "02:00:00:00:00:77"
ENDED_WELL = b"\0" + b"000"  # what the shell says after a command


def read_all(sock):
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def in_background(function):
    """A thread, and the list that its result goes to."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    return thread, results


def echo(vm, data):
    """What `cat` in the guest makes of it, both ways at once."""
    with vm.open_shell("cat") as sock:
        thread, results = in_background(lambda: read_all(sock))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        thread.join(60)
        return results[0] if results else None


@case
def a_command_in_the_guest_has_input_output_and_a_status(_sandbox):
    with guests.shared() as vm:
        expect_equal(vm.result("cat; echo seen >&2; exit 3", b"told "), (3, "told seen\n"), "result")
        expect_equal(vm.run("uname -m").strip(), "x86_64", "machine")
        expect_equal(vm.result("kill -9 $$").status, 128 + 9, "status of a command that was killed")


@case
def bytes_pass_both_ways_as_they_are(_sandbox):
    data = os.urandom(4 << 20)
    with guests.shared() as vm:
        expect(echo(vm, data) == data + ENDED_WELL, "4 MiB come back as they were, with the end of the command")


@case
def connections_do_not_wait_for_each_other(_sandbox):
    with guests.shared() as vm:
        with vm.open_shell("cat /dev/zero") as unread:
            # Until it is full, from the guest's process to here.
            wait(lambda: select.select([unread], [], [], 0)[0], "output that is not read")
            datas = [os.urandom(300000) for _ in range(8)]
            threads = [in_background(lambda data=data: echo(vm, data)) for data in datas]
            for (thread, results), data in zip(threads, datas):
                thread.join(60)
                expect(results == [data + ENDED_WELL], "each of them gets its own")


@case
def a_port_where_nobody_listens_is_refused(_sandbox):
    with guests.shared() as vm:
        expect_equal(vm.connect(999), None, "connection")
        expect_equal(vm.run("echo lives"), "lives\n", "the guest after it")


@case
def an_end_is_seen_on_the_other_side(_sandbox):
    with guests.shared() as vm:
        # Closed by the host in the middle of the guest's output: the guest's process gets no further.
        with vm.open_shell("echo $$ >/run/writer; exec cat /dev/zero") as sock:
            sock.recv(1)
        gone = "pid=$(cat /run/writer); ! kill -0 $pid"
        wait(lambda: vm.result(gone).status == 0, "the guest's process ends")
        # Closed by the host while the guest's process only reads.
        with vm.open_shell("echo $$ >/run/reader; cat; echo over >/run/over") as sock:
            wait(lambda: vm.result("test -s /run/reader").status == 0, "the guest's process reads")
        wait(lambda: vm.result("test -s /run/over").status == 0, "the guest's process sees the end")


@case
def connections_that_are_cut_end_on_both_sides(_sandbox):
    with guests.shared() as vm:
        with vm.open_shell("echo ready; cat; echo over >/run/cut") as sock:
            expect_equal(sock.recv(6), b"ready\n", "first words")
            vm.cut_connections()
            expect_equal(read_all(sock), b"", "end")
        wait(lambda: vm.result("test -s /run/cut").status == 0, "the guest's process sees the end")


@case
def a_paused_machine_keeps_its_connections(_sandbox):
    data = os.urandom(2 << 20)
    with guests.shared() as vm:
        with vm.open_shell("cat") as sock:
            sock.sendall(b"before")
            expect_equal(sock.recv(6), b"before", "echo")
            vm.pause()
            thread, results = in_background(lambda: read_all(sock))
            # More than all buffers on the way hold: it waits until the guest goes on.
            sender, _ = in_background(lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
            late, answers = in_background(lambda: vm.run("echo late"))
            sender.join(0.3)
            expect(sender.is_alive() and not results and not answers, "nothing comes out of a paused machine")
            vm.resume()
            thread.join(60)
            expect(results == [data + ENDED_WELL], "all that was sent meanwhile comes back")
            late.join(60)
            expect_equal(answers, ["late\n"], "what was asked meanwhile")


@case
def a_nic_is_known_by_its_mac_and_carries_packets_until_it_goes(sandbox):
    sandbox.veth("eth0", "addr add 10.0.0.2/24 dev {}", mac=MAC)
    sandbox.peers_ip("addr add 10.0.0.1/24 dev p-eth0")
    with guests.shared() as vm:
        with guests.nic(vm, sandbox, MAC):
            name, = [link["ifname"] for link in vm.ip_json("link") if link["address"] == MAC]
            vm.run(f"ip addr add 10.0.0.2/24 dev {name}; ip link set {name} up")
            vm.run("ping -c 1 -w 10 10.0.0.1")
        expect(MAC not in [link["address"] for link in vm.ip_json("link")], "it is gone")


if __name__ == "__main__":
    guests.main()
