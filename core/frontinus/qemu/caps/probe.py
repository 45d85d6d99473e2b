"""Asking a binary what it can do: QEMU is started without a machine, asked everything in one write, and ended.

The result is a recording (see transcript), which is also what the cache keeps and what a bug report can carry.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from frontinus import procfs
from frontinus.api.errors import HypervisorFailed, InvalidValue
from frontinus.ports.resources import Credentials
from frontinus.qemu import process
from frontinus.qemu.caps.user import KVM

DEADLINE = 60.0
"""Seconds for the whole probe; it takes a quarter of one on an idle machine."""

WITHOUT_MACHINE = b"none,accel="
"""How the machine of a probe begins, and of nothing else that we start."""

DEVICES = (
    "ICH9-LPC", "PIIX4_PM", "VGA", "amd-iommu", "bochs-display", "e1000", "e1000e", "ide-cd", "ide-hd", "intel-iommu", "isa-serial",
    "kvm-pit", "mch", "nvdimm", "nvme", "pc-dimm", "pci-bridge", "pcie-root-port", "pvpanic", "pxb-pcie", "q35-pcihost",
    "i440FX-pcihost", "qxl", "scsi-block", "scsi-cd", "scsi-hd", "usb-host", "usb-redir", "usb-storage", "vfio-pci",
    "vhost-user-blk-pci", "vhost-user-fs-device", "vhost-user-fs-pci", "vhost-vsock-pci", "virtio-balloon-device",
    "virtio-balloon-pci", "virtio-blk-device", "virtio-blk-pci", "virtio-gpu-device", "virtio-gpu-pci",
    "virtio-iommu-pci", "virtio-mem-pci", "virtio-net-device", "virtio-net-pci", "virtio-pmem-pci", "virtio-rng-pci",
    "virtio-scsi-pci", "virtio-serial-pci", "virtio-vga", "vmware-svga",
)  # fmt: skip
"""Device types whose properties decide how a command line is written. One that a binary lacks is no harm."""

OBJECTS = (
    "memory-backend-file", "memory-backend-memfd", "memory-backend-ram", "max-x86_64-cpu", "none-machine",
    "generic-pc-machine", "iothread", "sev-guest", "sgx-epc",
)  # fmt: skip
"""Types that are no devices."""

QUERIES = (
    "query-version", "query-target", "query-qmp-schema", "query-commands", "query-kvm", "qom-list-types",
    "query-machines", "query-cpu-definitions", "query-tpm-models", "query-tpm-types", "query-command-line-options",
    "query-migrate-capabilities", "query-sev-capabilities", "query-sgx-capabilities",
)  # fmt: skip
CPU_QUERIES = ("query-kvm", "query-machines", "query-cpu-definitions")
"""What differs between accelerators, and so is asked in both sessions."""


def _expansions() -> Iterator[tuple[str, Mapping[str, object]]]:
    """The best CPU model of each accelerator, with and without what cannot migrate, and KVM's Hyper-V features."""
    for name in ("host", "max"):
        yield "query-cpu-model-expansion", {"type": "static", "model": {"name": name}}
        yield "query-cpu-model-expansion", {"type": "static", "model": {"name": name, "props": {"migratable": False}}}
    everything = {"migratable": False, "hv-passthrough": True}
    yield "query-cpu-model-expansion", {"type": "full", "model": {"name": "host", "props": everything}}


def _questions(full: bool) -> Iterator[tuple[str, Mapping[str, object]]]:
    yield "qmp_capabilities", {}
    yield from ((name, {}) for name in (QUERIES if full else CPU_QUERIES))
    if full:
        yield from (("device-list-properties", {"typename": name}) for name in DEVICES)
        yield from (("qom-list-properties", {"typename": name}) for name in OBJECTS)
    yield from _expansions()


def probe(emulator: str, who: Credentials | None) -> bytes:
    """Record a probe of a binary. Blocks; call it from a thread. Raises HypervisorFailed, HostFailed, InvalidValue."""
    if not os.access(emulator, os.X_OK):
        raise InvalidValue(f"the emulator {emulator} does not exist or is not executable", field="emulator")
    end_orphans()
    deadline = time.monotonic() + DEADLINE
    probes = [_Probe(emulator, "kvm:tcg", who, full=True)]
    try:
        if KVM.exists():  # both at once; the second is dropped if this user has no KVM after all
            probes.append(_Probe(emulator, "tcg", who, full=False))
        texts = [p.finish(deadline) for p in probes]
    finally:
        for p in probes:
            p.close()
    return b"".join(texts if probes[0].kvm else texts[:1])


def end_orphans() -> None:
    """End what engines left that were killed before the kernel knew of a probe that it dies with them. Blocks."""
    for pid in procfs.processes():
        words = procfs.arguments(pid)
        if (
            b"-no-user-config" in words
            and any(word.startswith(WITHOUT_MACHINE) for word in words)
            and procfs.is_orphan(pid)
        ):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone, or another user's
                os.kill(pid, signal.SIGKILL)


class _Enabled(msgspec.Struct):
    enabled: bool = False


class _Reply(msgspec.Struct, rename={"result": "return"}):
    id: str | None = None
    result: msgspec.Raw = msgspec.Raw(b"")


@dataclass
class _Probe:
    """One QEMU that answers on a socket pair and dies with the engine."""

    emulator: str
    accelerators: str
    who: Credentials | None
    full: bool
    kvm: bool = False
    _asked: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        questions = enumerate(_questions(self.full), 1)
        self._asked = {
            str(n): msgspec.json.encode({"execute": name, "arguments": arguments, "id": str(n)})
            for n, (name, arguments) in questions
        }
        self._socket, child = socket.socketpair()
        self._log = os.memfd_create("probe")
        argv = [self.emulator, "-S", "-no-user-config", "-nodefaults", "-nographic",
                "-machine", f"{WITHOUT_MACHINE.decode()}{self.accelerators}", "-chardev", "socket,id=mon,fd=3",
                "-mon", "chardev=mon,mode=control"]  # fmt: skip
        with child:
            command = process.as_user(argv, self.who, dies_with_us=True)
            self.pid = process.spawn(command, {"LC_ALL": "C"}, {3: child.fileno()}, self._log)

    def finish(self, deadline: float) -> bytes:
        """Ask, and read until all is answered; the recording."""
        with contextlib.suppress(BrokenPipeError):  # reading tells more about one that has ended
            self._socket.sendall(b"\n".join(self._asked.values()))
        lines: list[bytes] = []
        waiting = dict(self._asked)
        for line in self._lines(deadline):
            reply = msgspec.json.decode(line, type=_Reply)
            if reply.id is None or (command := waiting.pop(reply.id, None)) is None:
                continue  # the greeting, an event
            if b'"query-kvm"' in command:
                self.kvm = msgspec.json.decode(reply.result, type=_Enabled).enabled
            lines += [command, line]
            if not waiting:
                break
        return b"\n".join([*lines, b""])

    def _lines(self, deadline: float) -> Iterator[bytes]:
        rest = b""
        while True:
            if not select.select([self._socket], [], [], max(0, deadline - time.monotonic()))[0]:
                raise HypervisorFailed(f"{self.emulator} did not answer the probe in {DEADLINE:g} seconds")
            try:
                chunk = self._socket.recv(1 << 20)
            except ConnectionResetError:
                chunk = b""
            if not chunk:
                raise HypervisorFailed(f"{self.emulator} ended during the probe", log=self._said())
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole

    def _said(self) -> str:
        return os.pread(self._log, 4096, 0).decode(errors="replace").strip()

    def close(self) -> None:
        """End the process; a killed one leaves nothing, since it has no state."""
        self._socket.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._log)
