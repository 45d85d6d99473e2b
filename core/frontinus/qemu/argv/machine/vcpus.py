"""vCPUs that are on from the start and yet can be unplugged: plugged by QMP before the guest runs."""

from __future__ import annotations

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.guest import Guest
from frontinus.domain.tuning import Vcpu
from frontinus.qemu.argv.context import Context, Props


def build(ctx: Context) -> None:
    """Order the vCPUs that -smp leaves out to be plugged."""
    plugged = [vcpu for vcpu in ctx.guest.vcpu_list if vcpu.enabled and vcpu.hotpluggable]
    model = _driver(ctx) if plugged else ""
    for vcpu in sorted(plugged, key=lambda vcpu: (vcpu.order or 0, vcpu.id)):
        ctx.command("device_add", driver=model, id=f"vcpu{vcpu.id}", **place(ctx.guest, vcpu))


def place(guest: Guest, vcpu: Vcpu) -> Props:
    """Where a vCPU sits in the topology, as QEMU numbers it: threads first, then cores, dies, sockets."""
    topology = guest.cpu.topology if guest.cpu else None
    if topology is None:
        return {"socket-id": vcpu.id, "core-id": 0, "thread-id": 0}
    rest, thread = divmod(vcpu.id, topology.threads)
    rest, core = divmod(rest, topology.cores)
    socket, die = divmod(rest, topology.dies or 1)
    dies = {"die-id": die} if (topology.dies or 1) > 1 else {}
    return {"socket-id": socket, **dies, "core-id": core, "thread-id": thread}


def _driver(ctx: Context) -> str:
    """The device that is one CPU of the guest's model."""
    model = next(str(item.value["model"]) for item in ctx.items
                 if item.option == "cpu" and not isinstance(item.value, str) and item.value)  # fmt: skip
    return type_of(ctx.caps, model)


def type_of(caps: Capabilities, model: str) -> str:
    """QEMU's type of a CPU model."""
    known = (entry for entries in caps.cpu_models.values() for entry in entries if entry.name == model)
    found = next((entry.type_name for entry in known), None)
    return found or f"{model}-{caps.arch}-cpu"
