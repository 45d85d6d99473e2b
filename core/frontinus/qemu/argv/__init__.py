"""From a completed guest to QEMU's command line: one file a family, joined here in QEMU's order."""

from __future__ import annotations

from collections.abc import Callable

from frontinus.qemu.argv.block import disks
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.devices import (
    audio,
    balloon,
    characters,
    controllers,
    crypto,
    filesystems,
    graphics,
    hostdevs,
    inputs,
    interfaces,
    iommu,
    memory_devices,
    panic,
    pstore,
    rng,
    shmem,
    smartcard,
    tpm,
    usb,
    video,
    vsock,
    watchdogs,
)
from frontinus.qemu.argv.machine import cpu, general, machine, memory, security, sysinfo, vcpus

FAMILIES: tuple[Callable[[Context], None], ...] = (
    general.build_head, machine.build, cpu.build, memory.build, cpu.build_smp, vcpus.build, memory.build_late,
    sysinfo.build, general.build, iommu.build, controllers.build, memory_devices.build, usb.build_hubs, controllers.build_ccid,
    disks.build, filesystems.build, interfaces.build, smartcard.build, characters.build, tpm.build, inputs.build,
    audio.build, graphics.build, video.build, audio.build_cards, watchdogs.build, usb.build_redirdevs, hostdevs.build,
    balloon.build, rng.build, security.build, panic.build, shmem.build, vsock.build, crypto.build, pstore.build,
    general.build_tail,
)  # fmt: skip
