"""From a completed guest to QEMU's command line: one file a family, joined here in QEMU's order."""

from __future__ import annotations

from collections.abc import Callable

from frontinus.qemu.argv import (
    audio,
    characters,
    controllers,
    cpu,
    devices,
    disks,
    general,
    graphics,
    interfaces,
    machine,
    memory,
    security,
    sysinfo,
    video,
)
from frontinus.qemu.argv.context import Context

FAMILIES: tuple[Callable[[Context], None], ...] = (
    general.build_head, machine.build, cpu.build, memory.build, cpu.build_smp, memory.build_late, sysinfo.build,
    general.build, controllers.build, controllers.build_ccid, disks.build,
    interfaces.build, characters.build, audio.build, graphics.build, video.build, audio.build_cards, devices.build,
    security.build, general.build_tail,
)  # fmt: skip
