"""The pure half of the hypervisor port: a completed guest becomes a launch plan."""

from __future__ import annotations

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import LaunchPlan
from frontinus.qemu.argv import FAMILIES
from frontinus.qemu.argv.context import Context, write


def json_options(caps: Capabilities) -> frozenset[str]:
    """The options that this QEMU takes as JSON."""
    return frozenset({"blockdev", "device", "object", "netdev"})


def launch_plan(guest: Guest, caps: Capabilities, host: HostFacts, *, incoming: bool = False) -> LaunchPlan:
    """Translate a completed guest. Raises Unsupported for what this QEMU cannot do."""
    ctx = Context(guest, caps, host, host.paths.guest(guest.id if guest.id is not None else -1, guest.name), incoming)
    for build in FAMILIES:
        build(ctx)
    argv = (caps.emulator, *write(ctx.items, json_options(caps)))
    return LaunchPlan(argv, {}, tuple(ctx.resources), ctx.folder, f"{ctx.folder}/monitor.sock")
