# SPDX-License-Identifier: Apache-2.0
"""The virtual machine that the cases of a file share: booted by the first that needs it, and anew after a case failed.

Each case gets a NIC of its own in it, wired to a link of its pod as Kata does it, and takes it away again: with the NIC
go its addresses and routes.
"""

import contextlib
import os
import sys

import harness

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "vm"))
import guest  # noqa: E402
import machine  # noqa: E402

SHELL = os.path.abspath(os.environ.get("NETMON_GUEST_SHELL", "build/tests/e2e/guest-shell"))
PROGRAMS = {}  # name in the guest: file here. Filled before the first case
TAP = "tap0_kata"  # a name that the monitor takes for the runtime's own

booted = []


def boot():
    vm = machine.Machine(PROGRAMS, SHELL)
    booted.append(vm)
    harness.SHARED.update(process.pid for process in vm.processes)
    return vm


def shut_down():
    while booted:
        vm = booted.pop()
        harness.SHARED.difference_update(process.pid for process in vm.processes)
        vm.close()


def download():
    """What is needed is there, or the file fails: a guest that is missing is no reason to skip."""
    try:
        guest.kernel()
    except guest.Missing as missing:
        print(f"not ok guest # {missing}")
        sys.exit(1)


@contextlib.contextmanager
def shared():
    """The machine, for one case."""
    try:
        vm = booted[0] if booted else boot()
        yield vm
    except BaseException as error:
        for vm in booted:
            print("\n".join("    " + line for line in vm.said().splitlines()))
        shut_down()
        if isinstance(error, (machine.Fault, guest.Missing)):
            raise harness.Failure(str(error)) from None
        raise


@contextlib.contextmanager
def nic(vm, sandbox, mac, link="eth0"):
    """The guest has a NIC of this MAC, wired to that link of the pod."""
    vm.plug(TAP, sandbox.pod, mac)
    sandbox.pod_ip(f"link set {TAP} up")
    with machine.wired(sandbox.pod, link, TAP):
        yield
    vm.unplug(TAP)


def main():
    harness.main(before=download, after=shut_down)
