#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""What a test's virtual machine boots: Debian's kernel, and an initramfs of what the test wants in it.

The kernel is downloaded once, as a Debian package, and unpacked into .cache/guest/ of the tree; started as a
program, this file does that and nothing else (contrib/dev does so before the tests, which have no network of their
own). The initramfs is written for each machine: it takes a tenth of a second, and always has the programs of now.

Debian's cloud kernel has PCI hot-plug and a serial port built in, and virtio as modules. It is started by its PVH
entry, from the unpacked vmlinux: the guest's processor is emulated, so it is not made to decompress anything.
"""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
CACHE = os.path.join(ROOT, ".cache", "guest")
KERNEL_PACKAGE = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_net", "virtio_console", "vmw_vsock_virtio_transport", "vsock_loopback")
LZ4_MAGIC = b"\x02\x21\x4c\x18"  # of its legacy frame, which is what the kernel's build uses

INIT = """#!/bin/busybox sh
# Loads what is listed, serves commands on a vsock port, and says so on the serial line.
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
while read -r module; do
	insmod /lib/modules/$module || echo "insmod $module: failed"
done </lib/modules/order
ip link set lo up
echo "guest: ready"
exec /bin/guest-shell
"""


class Missing(Exception):
    """Something that a guest needs is not there."""


def call(*argv, **options):
    """What it prints."""
    try:
        return subprocess.run(argv, check=True, capture_output=True, **options).stdout
    except FileNotFoundError as error:
        raise Missing(f"{argv[0]} is not installed: see [guest] in contrib/packages.txt") from error
    except subprocess.CalledProcessError as error:
        raise Missing(f"{' '.join(argv)}: {error.stderr.decode(errors='replace').strip()}") from error


# ---- the kernel ----


def kernel_folder():
    """Of the newest kernel in the cache, or None."""
    folders = [entry.path for entry in os.scandir(CACHE) if entry.name.startswith("linux-")] if os.path.isdir(CACHE) else []
    return max(folders, key=os.path.getmtime, default=None)


def kernel_package():
    """The package that the meta package of today names."""
    said = call("apt-cache", "depends", "--important", KERNEL_PACKAGE, text=True)
    names = re.findall(r"Depends: (linux-image-[\w.+-]+)", said)
    if not names:
        raise Missing(f"apt knows no {KERNEL_PACKAGE}: its lists are empty (apt-get update), or this is not Debian on amd64")
    return names[0]


def unpacked_kernel(image):
    """An ELF file out of a bzImage. Behind the compressed frame lie four bytes of its size, which lz4 complains about."""
    start = image.find(LZ4_MAGIC)
    if start < 0:
        raise Missing("the kernel is not compressed by LZ4")
    try:
        result = subprocess.run(["lz4", "-dc", "-"], input=image[start:], capture_output=True)
    except FileNotFoundError as error:
        raise Missing("lz4 is not installed") from error
    if not result.stdout.startswith(b"\x7fELF"):
        raise Missing(f"no kernel came out of its image: {result.stderr.decode(errors='replace')[:200]}")
    return result.stdout


def module_files(folder):
    return {name[:-3].replace("-", "_"): os.path.join(parent, name)
            for parent, _, names in os.walk(folder) for name in names if name.endswith(".ko")}


def needs_of(path):
    """The modules that it depends on, as the file itself says."""
    with open(path, "rb") as file:
        found = re.search(rb"\0depends=([\w,-]*)\0", file.read())
    return [name.replace("-", "_") for name in found.group(1).decode().split(",") if name] if found else []


def in_order(files, names):
    """Their files, each after what it needs."""
    order = []

    def add(name):
        for needed in needs_of(files[name]):
            add(needed)
        if files[name] not in order:
            order.append(files[name])

    for name in names:
        if name not in files:
            raise Missing(f"the kernel has no module {name}")
        add(name)
    return order


def keep_kernel(package, folder):
    """Of an unpacked package: vmlinux, the modules, and the order in which they are loaded."""
    boot = os.path.join(package, "boot")
    name = next(name for name in os.listdir(boot) if name.startswith("vmlinuz-"))
    with open(os.path.join(boot, name), "rb") as image, open(os.path.join(folder, "vmlinux"), "wb") as file:
        file.write(unpacked_kernel(image.read()))
    modules = in_order(module_files(os.path.join(package, "lib", "modules")), MODULES)
    for path in modules:
        shutil.copyfile(path, os.path.join(folder, os.path.basename(path)))
    with open(os.path.join(folder, "order"), "w", encoding="utf-8") as file:
        file.writelines(os.path.basename(path) + "\n" for path in modules)
    return name[len("vmlinuz-"):]


def download_kernel(scratch):
    """Into the cache; half a kernel is never seen there."""
    apt_get = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=300")
    try:
        call(*apt_get, "download", kernel_package(), cwd=scratch)
    except Missing:
        # Lists that are not there, or older than the archive.
        call(*apt_get, "update")
        call(*apt_get, "download", kernel_package(), cwd=scratch)
    archive = next(name for name in os.listdir(scratch) if name.endswith(".deb"))
    package, folder = os.path.join(scratch, "package"), os.path.join(scratch, "kept")
    call("dpkg-deb", "--extract", os.path.join(scratch, archive), package)
    os.mkdir(folder)
    name = keep_kernel(package, folder)
    target = os.path.join(CACHE, "linux-" + name)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(folder, target)
    return target


def kernel():
    """The folder of one, downloaded when there is none."""
    folder = kernel_folder()
    if folder:
        return folder
    os.makedirs(CACHE, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=CACHE) as scratch:
        return download_kernel(scratch)


# ---- the initramfs ----


class Archive:
    """A cpio archive in memory, "newc": what the kernel unpacks as its first root (Documentation/driver-api/early-userspace)."""

    def __init__(self):
        self.parts, self.folders, self.number = [], set(), 0

    def entry(self, name, mode, data=b""):
        self.number += 1
        fields = (self.number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def folder(self, name):
        if name and name not in self.folders:
            self.folder(os.path.dirname(name))
            self.folders.add(name)
            self.entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        name = name.lstrip("/")
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFREG | mode, data)

    def copy(self, path, name, mode=0o755):
        with open(path, "rb") as file:
            self.file(name, file.read(), mode)

    def write(self, path):
        self.entry("TRAILER!!!", 0)
        with open(path, "wb") as file:
            file.writelines(self.parts)


def libraries_of(path):
    """What the dynamic linker would load for it, itself included; none for a static program."""
    result = subprocess.run(["ldd", path], capture_output=True, text=True)
    return re.findall(r"(/\S+) \(0x", result.stdout) if result.returncode == 0 else []


def write_initramfs(path, kernel_path, shell, programs):
    """programs: {name in the guest: file here}; dynamic ones bring their libraries."""
    archive = Archive()
    for name in ("proc", "sys", "dev", "run", "tmp", "bin"):
        archive.folder(name)
    archive.file("init", INIT.encode(), 0o755)
    for name in os.listdir(kernel_path):
        if name != "vmlinux":
            archive.copy(os.path.join(kernel_path, name), "lib/modules/" + name, 0o644)
    wanted = {"/bin/busybox": shutil.which("busybox"), "/bin/guest-shell": shell, "/sbin/ip": shutil.which("ip"), **programs}
    for name, file in wanted.items():
        if not file or not os.path.exists(file):
            raise Missing(f"the guest's {name} is not there ({file})")
        archive.copy(file, name)
    for library in sorted({library for file in wanted.values() for library in libraries_of(file)}):
        archive.copy(library, library)
    archive.write(path)


if __name__ == "__main__":
    try:
        kernel()
    except Missing as missing:
        sys.exit(f"guest.py: {missing}")
