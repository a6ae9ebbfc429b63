#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Our ttrpc and containerd's, each as the client of the other: what one sends is what the other understands.

go/peer.go is built here from Debian's golang-github-containerd-ttrpc-dev, without a network; ttrpc-peer is our half.
Both have the same command line (ttrpc-peer.c), so each case is run both ways.
"""

import os
import queue
import shutil
import subprocess
import sys
import threading
from collections import namedtuple

import harness
from harness import case, expect, expect_equal, wait

HERE = os.path.dirname(os.path.abspath(__file__))
OURS = os.path.abspath(os.environ.get("NETMON_TTRPC_PEER", "build/tests/e2e/ttrpc-peer"))
FOLDER = os.path.dirname(OURS)
THEIRS = os.path.join(FOLDER, "go-peer")
SERVICE = "netmon.test.Peer"
FRAME_MAX = 4 << 20
CODES_MAX = 16
UNIMPLEMENTED, RESOURCE_EXHAUSTED = "code-12", "code-8"

Answer = namedtuple("Answer", "word rest")


def build_theirs():
    go = shutil.which("go")
    if not go:
        print("not ok go-peer # go is not installed: see [guest] in contrib/packages.txt")
        sys.exit(1)
    env = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOCACHE=os.path.join(FOLDER, "go-cache"),
               GOFLAGS="", CGO_ENABLED="0", HOME=FOLDER)
    result = subprocess.run([go, "build", "-o", THEIRS, os.path.join(HERE, "go", "peer.go")], env=env, cwd=FOLDER,
                            capture_output=True, text=True)
    if result.returncode:
        print(result.stdout + result.stderr + "not ok go-peer # go build")
        sys.exit(1)


class Server:
    def __init__(self, sandbox, program):
        self.program, self.path = program, sandbox.path(f"peer-{len(sandbox.children)}")
        self.sandbox = sandbox
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.program, "serve", self.path])
        self.sandbox.children.append(self.process)
        wait(self.is_listening, "the server listens")

    def is_listening(self):
        with open("/proc/net/unix", encoding="utf-8") as file:
            # the flags of one that listens are __SO_ACCEPTCON: bound it is there before
            return any(line.split()[3] == "00010000" and line.rstrip().endswith(self.path) for line in file)

    def kill(self):
        self.process.kill()
        self.process.wait()
        os.unlink(self.path)


class Client:
    """Calls in the background; answers by the name of the call."""

    def __init__(self, sandbox, program, server):
        self.is_ours = program == OURS
        target = f"unix://{server.path}" if self.is_ours else server.path
        self.process = subprocess.Popen([program, "call", target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        sandbox.children.append(self.process)
        self.lines, self.answers, self.order, self.count = queue.Queue(), {}, [], 0
        threading.Thread(target=lambda: [self.lines.put(line) for line in self.process.stdout], daemon=True).start()
        self.said("connected")

    def said(self, word):
        """Waits until the connection does this."""
        wait(lambda: self.take() or word in self.order, word)
        self.order.remove(word)

    def take(self):
        while not self.lines.empty():
            words = self.lines.get().rstrip("\n").split(" ", 2)
            self.order.append(words[0])
            if len(words) > 1:
                self.answers[words[0]] = Answer(words[1], words[2] if len(words) > 2 else "")

    def begin(self, method, payload="=", msec=0, service=SERVICE, more=""):
        self.count += 1
        name = f"call{self.count}"
        self.process.stdin.write(f"{name} {service} {method} {msec} {payload} {more}\n")
        self.process.stdin.flush()
        return name

    def answer(self, name):
        return wait(lambda: self.take() or self.answers.get(name), f"the answer of {name}", 30)

    def call(self, *args, **more):
        return self.answer(self.begin(*args, **more))


def sent(size):
    """How an echo of so many bytes is described."""
    total = 14695981039346656037
    for i in range(size):
        total = (total ^ (i * 7 & 0xff)) * 1099511628211 & 0xffffffffffffffff
    return f"{size} fnv:{total:016x}"


def text(said):
    return f"{len(said)} {said.encode().hex()}"


def both_ways(function):
    """The case once with our client and their server, once with their client and ours."""
    def way(client, server):
        def run(sandbox):
            there = Server(sandbox, server)
            function(sandbox, there, Client(sandbox, client, there))
        return run
    for name, client, server in (("our_client", OURS, THEIRS), ("their_client", THEIRS, OURS)):
        one = way(client, server)
        one.__name__ = f"{function.__name__}_{name}"
        case(one)
    return function


@both_ways
def bytes_come_back_as_they_were(_sandbox, _server, client):
    for payload, wanted in (("=", "0 "), ("=x", text("x")), ("65", sent(65)), ("100000", sent(100000))):
        expect_equal(client.call("Echo", payload), ("ok", wanted), f"echo of {payload}")


@both_ways
def an_error_keeps_its_code_and_its_words(_sandbox, _server, client):
    for number in range(1, CODES_MAX + 1):
        expect_equal(client.call("Fail", f"={number}:no-{number}"), (f"code-{number}", f"no-{number}"), f"code {number}")
    expect_equal(client.call("Echo", "=after"), ("ok", text("after")), "a call after errors")


@both_ways
def what_is_not_served_is_unimplemented(_sandbox, _server, client):
    expect_equal(client.call("Echo", service="netmon.test.Nobody").word, UNIMPLEMENTED, "service")
    expect_equal(client.call("Nothing").word, UNIMPLEMENTED, "method")
    expect_equal(client.call("Echo", "=after"), ("ok", text("after")), "a call after them")


@both_ways
def calls_beside_each_other_get_their_own_answers(_sandbox, _server, client):
    held = [client.begin("Hold", f"=call-{i}") for i in range(50)]
    # While they wait, others are answered.
    for i in range(50):
        expect_equal(client.call("Echo", f"=echo-{i}"), ("ok", text(f"echo-{i}")), f"echo {i}")
    expect(not any(name in client.answers for name in held), "those that are held have no answer yet")
    expect_equal(client.call("Release"), ("ok", text("50")), "released")
    for i, name in enumerate(held):
        expect_equal(client.answer(name), ("ok", text(f"call-{i}")), f"held call {i}")


@both_ways
def a_deadline_is_told_to_the_server(_sandbox, _server, client):
    word, rest = client.call("Deadline", msec=30000)
    left = int(bytes.fromhex(rest.split()[1]))
    expect(word == "ok" and 0 < left <= 30000 * 10**6, f"30 s, of which {left} ns were left")


@both_ways
def a_deadline_ends_the_call_and_nothing_else(_sandbox, _server, client):
    other = client.begin("Hold", "=other")
    late = client.begin("Hold", "=late", msec=50)
    expect_equal(client.answer(late).word, "timeout", "the call with a deadline")
    expect(other not in client.answers, "the other call waits on")
    client.call("Release")
    expect_equal(client.answer(other), ("ok", text("other")), "the other call")
    expect_equal(client.call("Echo", "=after"), ("ok", text("after")), "a late answer disturbs nobody")


@both_ways
def four_mib_pass_and_more_is_refused(_sandbox, server, client):
    room = FRAME_MAX - 128  # a request's and an answer's own words
    expect_equal(client.call("Grow", f"={room}")[0], "ok", "an answer of nearly 4 MiB")
    expect_equal(client.call("Echo", str(room)).word, "ok", "nearly 4 MiB both ways")
    over = client.call("Echo", str(FRAME_MAX + 1))
    # Ours never sends it; theirs does, and our server says no to it without losing the connection.
    expect_equal(over if client.is_ours else over.word, ("refused", "EMSGSIZE") if client.is_ours else RESOURCE_EXHAUSTED,
                 "a request over the limit")
    expect_equal(client.call("Grow", f"={FRAME_MAX + 1}").word, RESOURCE_EXHAUSTED, "an answer over the limit")
    expect_equal(client.call("Echo", "=after"), ("ok", text("after")), "a call after them")
    expect(server.process.poll() is None, "the server lives")


@both_ways
def a_lost_server_ends_the_calls(_sandbox, server, client):
    held = [client.begin("Hold", f"=call-{i}") for i in range(3)]
    expect_equal(client.call("Echo", "=sync").word, "ok", "they are on their way")
    server.kill()
    for name in held:
        expect_equal(client.answer(name).word, "lost", name)
    if client.is_ours:
        client.said("disconnected")
        server.start()
        client.said("connected")
        expect_equal(client.call("Echo", "=again"), ("ok", text("again")), "a call after it came back")


@both_ways
def a_client_that_goes_takes_its_calls_along(sandbox, server, client):
    for i in range(10):
        client.begin("Hold", f"=call-{i}")
    expect_equal(client.call("Echo", "=sync").word, "ok", "they are on their way")
    client.process.kill()
    client.process.wait()
    other = Client(sandbox, OURS if client.is_ours else THEIRS, server)
    expect_equal(other.call("Echo", "=next"), ("ok", text("next")), "the next client")
    # Answers to calls of a connection that is gone go nowhere.
    expect_equal(other.call("Release").word, "ok", "release")
    expect_equal(other.call("Echo", "=after"), ("ok", text("after")), "a call after it")


@case
def metadata_of_their_client_is_passed_over(sandbox):
    server = Server(sandbox, OURS)
    client = Client(sandbox, THEIRS, server)
    expect_equal(client.call("Echo", "=x", more="60"), ("ok", text("x")), "60 pairs")
    expect_equal(client.call("Echo", "=x", more="70").word, RESOURCE_EXHAUSTED, "more than TTRPC_METADATA_MAX pairs")
    expect_equal(client.call("Echo", "=after"), ("ok", text("after")), "a call after it")


@case
def words_that_are_no_ascii_do_not_cost_the_connection(sandbox):
    """Their client drops it over a string that is no UTF-8; ours says nothing that could be one."""
    client = Client(sandbox, THEIRS, Server(sandbox, OURS))
    expect_equal(client.call("Fail", "=2:n\u00e4in"), ("code-2", "n??in"), "an error")
    expect_equal(client.call("Echo", "=after"), ("ok", text("after")), "a call after it")


@case
def calls_over_our_limit_are_refused_one_by_one(sandbox):
    server = Server(sandbox, OURS)
    client = Client(sandbox, THEIRS, server)
    names = [client.begin("Hold", f"=call-{i}") for i in range(70)]
    wait(lambda: client.take() or len(client.answers) == 6, "those over TTRPC_CALLS_MAX are answered")
    expect_equal({answer.word for answer in client.answers.values()}, {RESOURCE_EXHAUSTED}, "answers")
    expect_equal(len([name for name in names if name not in client.answers]), 64, "calls in flight")
    expect_equal(Client(sandbox, THEIRS, server).call("Echo", "=x"), ("ok", text("x")), "another connection")


@case
def our_client_keeps_to_its_own_limit(sandbox):
    client = Client(sandbox, OURS, Server(sandbox, THEIRS))
    names = [client.begin("Hold", f"=call-{i}") for i in range(65)]
    refused = wait(lambda: client.take() or [name for name in names if name in client.answers], "one is refused")
    expect_equal((len(refused), client.answers[refused[0]]), (1, ("refused", "EBUSY")), "the 65th")


if __name__ == "__main__":
    harness.main(before=build_theirs)
