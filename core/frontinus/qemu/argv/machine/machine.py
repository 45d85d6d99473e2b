"""The machine and its accelerator: -machine, -accel, -bios, -global of the chipset."""

from __future__ import annotations

from frontinus.domain.guest import Guest
from frontinus.qemu.argv.context import Context, Props
from frontinus.qemu.argv.machine import firmware

IRQCHIPS = {"kvm": "on", "qemu": "split"}


def build(ctx: Context) -> None:
    """Emit the machine, behind the block nodes of its firmware."""
    guest = ctx.guest
    flash = firmware.build(ctx)
    ctx.props("machine", {"type": guest.machine, "usb": False, **_features(guest), **_memory(ctx), **_security(ctx),
                          **flash, **_others(ctx)})  # fmt: skip
    ctx.props("accel", _accelerator(guest))
    firmware.build_globals(ctx)


def _features(guest: Guest) -> Props:
    features = guest.features
    if features is None:
        return {}
    return {
        "vmport": features.vmport.state if features.vmport else None,
        "smm": features.smm.state if features.smm else None,
        "kernel_irqchip": IRQCHIPS[features.ioapic.driver] if features.ioapic else None,
        "i8042": features.ps2.state if features.ps2 else None,
    }


def _memory(ctx: Context) -> Props:
    guest = ctx.guest
    backing = guest.memory_backing
    devices = guest.devices.memories
    props: dict[str, object] = {
        "dump-guest-core": bool(guest.dump_core),
        "mem-merge": False if backing and backing.no_share_pages else None,
        "nvdimm": True if any(device.model == "nvdimm" for device in devices) else None,
    }
    for number, device in enumerate(d for d in devices if d.model == "sgx-epc"):
        props[f"sgx-epc.{number}.memdev"] = f"mem{device.alias}"
        props[f"sgx-epc.{number}.node"] = getattr(device, "node", None) or 0
    if not guest.cells:
        props["memory-backend"] = default_ram(ctx)
    return props


def default_ram(ctx: Context) -> str | None:
    """The id that this machine gives to its memory; None where QEMU does not say, so memory has no object."""
    machine = ctx.caps.canonical_machine(ctx.guest.machine)
    return machine.default_ram_id if machine else None


def _security(ctx: Context) -> Props:
    security = ctx.guest.launch_security
    if security is None or security.type == "s390-pv":
        return {}
    modern = ctx.caps.has_property("none-machine", "confidential-guest-support")
    return {"confidential-guest-support" if modern else "memory-encryption": "lsec0"}


def _others(ctx: Context) -> Props:
    guest = ctx.guest
    hpet = guest.clock.timer("hpet") if guest.clock else None
    speaker = next((sound for sound in guest.devices.sounds if sound.model == "pcspk"), None)
    acpi = ctx.caps.has_schema("query-machines/ret-type/acpi")
    machine = ctx.caps.canonical_machine(guest.machine)
    return {
        "hmat": True if guest.has_hmat else None,
        "graphics": False if guest.os.bios_serial else None,
        "hpet": hpet.present if hpet and ctx.caps.has_option("machine", "hpet") else None,
        "pcspk-audiodev": audio_id(guest, speaker) if speaker else None,
        "acpi": guest.acpi if acpi and (machine is None or machine.acpi) else None,
    }


def audio_id(guest: Guest, device: object) -> str:
    """The id of the audio backend that a device is wired to: the first where it names none."""
    chosen = getattr(device, "audio_id", None)
    audios = guest.devices.audios
    return f"audio{chosen or (getattr(audios[0], 'id', None) if audios else None) or 1}"


def _accelerator(guest: Guest) -> Props:
    features = guest.features
    if guest.type == "kvm":
        ring = features.kvm.dirty_ring if features and features.kvm else None
        return {"accel": "kvm", "dirty-ring-size": ring.size if ring and ring.state else None}
    cache = features.tcg.tb_cache if features and features.tcg else None
    return {"accel": "tcg" if guest.type == "qemu" else guest.type, "tb-size": cache // 2**20 if cache else None}
