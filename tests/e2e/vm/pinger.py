#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""pinger.py MSEC ADDRESS...: an echo request every MSEC to each address, until its standard input ends.

Prints a line once the first of each came back, and at the end a JSON list for each address: of every request when it
was sent and when its answer came (CLOCK_MONOTONIC, seconds; null: never, though it was waited for).
"""

import json
import os
import select
import socket
import struct
import sys
import time

LAST_SEC = 3  # an answer that has not come so long after the last request never will
ECHO4, ANSWER4 = 8, 0
ECHO6, ANSWER6 = 128, 129


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


class Target:
    def __init__(self, address, number):
        self.address, self.number = address, number
        self.is_v6 = ":" in address
        family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if self.is_v6 else (socket.AF_INET, socket.IPPROTO_ICMP)
        self.socket = socket.socket(family, socket.SOCK_RAW, protocol)
        self.socket.setblocking(False)
        self.times = []  # [sent, answered]

    def send(self):
        identity = (os.getpid() + self.number) & 0xffff
        packet = struct.pack("!BBHHHI", ECHO6 if self.is_v6 else ECHO4, 0, 0, identity, 0, len(self.times))
        if not self.is_v6:
            packet = packet[:2] + struct.pack("!H", checksum(packet)) + packet[4:]
        self.times.append([time.monotonic(), None])
        try:
            self.socket.sendto(packet, (self.address, 0))
        except OSError:
            pass  # not sent is lost as well

    def receive(self):
        while True:
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                return
            message = data if self.is_v6 else data[20:]
            kind, _, _, identity, _, count = struct.unpack_from("!BBHHHI", message)
            if (kind == (ANSWER6 if self.is_v6 else ANSWER4) and identity == (os.getpid() + self.number) & 0xffff
                    and count < len(self.times) and not self.times[count][1]):
                self.times[count][1] = time.monotonic()


def receive(targets, until, control=None):
    """Return: True when the control has ended."""
    while True:
        left = until - time.monotonic()
        sources = [target.socket for target in targets] + ([control] if control else [])
        ready, _, _ = select.select(sources, [], [], max(0, left))
        for target in targets:
            if target.socket in ready:
                target.receive()
        if control in ready:
            return True
        if left <= 0:
            return False


def main(interval, addresses):
    targets = [Target(address, number) for number, address in enumerate(addresses)]
    said = False
    due = time.monotonic()
    while not receive(targets, due, sys.stdin):
        for target in targets:
            target.send()
        due += interval
        if not said and all(any(answered for _, answered in target.times) for target in targets):
            said = True
            print("answered", flush=True)
    end = time.monotonic() + LAST_SEC
    while time.monotonic() < end and any(not answered for target in targets for _, answered in target.times[-100:]):
        receive(targets, min(end, time.monotonic() + 0.05))
    print(json.dumps([target.times for target in targets]))


if __name__ == "__main__":
    main(int(sys.argv[1]) / 1000, sys.argv[2:])
