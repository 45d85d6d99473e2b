"""Whether two definitions give the guest the same hardware: what must hold between the two ends of a migration, and
between a saved guest and the definition that it is restored with.

What the host does for the guest (sources, backends, tuning, paths) may differ; what the guest can see may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.clock import Timer
from frontinus.domain.complete import complete
from frontinus.domain.cpu.host import concrete_cpu, host_processor
from frontinus.domain.cpu.model import Cpu, CpuFeature, CpuModelName
from frontinus.domain.defaults import says_model
from frontinus.domain.devices import Devices
from frontinus.domain.devices.base import Address, Device, PciAddress, Rom, VirtioOptions
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.character import Channel, Console, Parallel, Port, Serial
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.crypto import Crypto
from frontinus.domain.devices.filesystem import Filesystem
from frontinus.domain.devices.hostdev import Hostdev, MdevHostdev
from frontinus.domain.devices.hub import Hub
from frontinus.domain.devices.input import Input
from frontinus.domain.devices.interface import Interface
from frontinus.domain.devices.iommu import Iommu
from frontinus.domain.devices.memballoon import Memballoon
from frontinus.domain.devices.memory import MemoryDevice
from frontinus.domain.devices.nvram import Nvram
from frontinus.domain.devices.panic import Panic
from frontinus.domain.devices.pstore import Pstore
from frontinus.domain.devices.redirdev import Redirdev
from frontinus.domain.devices.rng import Rng
from frontinus.domain.devices.shmem import Msi, Shmem
from frontinus.domain.devices.smartcard import Smartcard
from frontinus.domain.devices.sound import Codec, Sound
from frontinus.domain.devices.tpm import Backend, Tpm
from frontinus.domain.devices.video import Video
from frontinus.domain.devices.vsock import Vsock
from frontinus.domain.devices.watchdog import Watchdog
from frontinus.domain.features import Features, KvmFeatures
from frontinus.domain.firmware import with_firmware
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.hyperv import offered, with_enlightenments
from frontinus.domain.launch_security import LaunchSecurity
from frontinus.domain.numa import Cell
from frontinus.domain.osboot import Loader, Os
from frontinus.xml import Model
from frontinus.xml.codecs import format_ranges
from frontinus.xml.mapping import Spec, specs

VISIBLE: Mapping[type[Model], str] = {
    Guest: "type uuid hardware_uuid genid memory max_memory memory_slots vcpus sysinfos os features cpu power launch_security",
    Os: "type arch machine smbios loader",
    Loader: "type secure",
    LaunchSecurity: "type policy",
    CpuModelName: "name vendor_id",
    Timer: "name present frequency mode",
    Rom: "enabled bar",
    VirtioOptions: "driver_iommu driver_ats driver_packed driver_page_per_vq",
    Device: "address acpi_index acpi_nodes",
    Disk: "target device model bus cylinders heads sectors translation logical_block physical_block removable rotation_rate"
          " readonly serial wwn vendor product dpofua discard_granularity queues queue_size event_idx",
    Controller: "type index model ports vectors model_name chassis_nr chassis port bus_nr target_index hotplug node queues"
                " cmd_per_lun max_sectors master_port pcihole64 memory_reserve serial",
    Filesystem: "driver model queue target",
    Interface: "mac model mtu queues rx_queue_size tx_queue_size event_idx rss rss_hash_report teaming rom"
               " host_csum host_gso host_tso4 host_tso6 host_ecn host_ufo mrg_rxbuf"
               " guest_csum guest_tso4 guest_tso6 guest_ecn guest_ufo",
    Smartcard: "mode",
    Serial: "target model port",
    Parallel: "port",
    Console: "target port",
    Channel: "target name address_to port_to",
    Input: "type bus model",
    Tpm: "model backend",
    Backend: "version",
    Sound: "model multichannel streams codecs",
    Codec: "type",
    Video: "model ram vram vram64 vgamem heads primary blob edid accel2d accel3d width height",
    Hostdev: "mode type model rom teaming",
    MdevHostdev: "ramfb",
    Redirdev: "bus",
    Hub: "type",
    Watchdog: "model",
    Memballoon: "model autodeflate free_page_reporting",
    Rng: "model",
    Nvram: "",
    Shmem: "model role size msi",
    Msi: "vectors",
    MemoryDevice: "model uuid pmem size node label readonly block base",
    Panic: "model",
    Iommu: "model intremap caching_mode eim iotlb aw_bits dma_translation granule granule_mode xtsup passthrough",
    Vsock: "model",
    Crypto: "model type queues",
    Pstore: "backend size",
}  # fmt: skip
"""The fields of each class that the guest can see. A class below others has theirs too."""
HOST_SIDE: Mapping[type[Model], str] = {
    Cpu: "match check",
    Cell: "access discard",
    Features: "hap privnet tcg async_teardown",
    KvmFeatures: "dirty_ring",
}
"""Of these the guest sees everything but this; of a class that is in neither table, everything."""
NO_HARDWARE = frozenset({"graphics", "audios", "leases"})
"""Fields of Devices that the guest knows nothing of."""
MEANS_NO: Mapping[type[Model], str] = {PciAddress: "multifunction"}
"""Fields that, left out, say no."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the guest would notice. `element` is the XML element, `text` names the place and both values."""

    element: str
    text: str

    def __str__(self) -> str:
        return self.text


def differences(old: Guest, new: Guest) -> list[Difference]:
    """What a guest that was `old` would notice as `new`: nothing if they are compatible. Both are completed."""
    found = [*_fields("domain", "", old, new), *_vcpus(old, new), *_timers(old, new)]
    for name, spec in specs(Devices).items():
        if spec.model is not None and name not in NO_HARDWARE:
            found += _devices(_listed(old.devices, name), _listed(new.devices, name))
    return found


def as_started(guest: Guest, caps: Capabilities, host: HostFacts) -> Guest:
    """A document completed, its firmware and its CPU chosen. One of a guest that runs says which they were.

    Raises InvalidXML, Unsupported.
    """
    os = guest.os
    if os.firmware and os.loader and os.loader.path:
        started = complete(guest.clone(os=os.clone(firmware=None, features=[])), caps, host)
        started.os.firmware, started.os.features = os.firmware, os.features
    else:
        started = with_firmware(complete(guest, caps, host), caps, host)
    if started.cpu and says_model(started.cpu) and host_processor(started, caps):
        started.cpu = concrete_cpu(started, caps, started.cpu)
    if offered(caps) is not None:
        with_enlightenments(started, caps)
    return started


# --- outside the devices


def _vcpus(old: Guest, new: Guest) -> Iterator[Difference]:
    before, after = _enabled(old), _enabled(new)
    if before != after:
        yield Difference("vcpu", f"<vcpu>: {format_ranges(before)} on became {format_ranges(after)}")


def _enabled(guest: Guest) -> tuple[int, ...]:
    """The numbers of the vCPUs that are there."""
    if guest.vcpu_list:
        return tuple(sorted(vcpu.id for vcpu in guest.vcpu_list if vcpu.enabled))
    return tuple(range(guest.vcpu_current or guest.vcpus or 1))


def _timers(old: Guest, new: Guest) -> Iterator[Difference]:
    before, after = ({t.name: t for t in g.clock.timers} if g.clock else {} for g in (old, new))
    for name in [*before, *(n for n in after if n not in before)]:
        yield from _model(f"<timer name='{name}'>", before.get(name), after.get(name), "timer")


# --- devices


def _listed(devices: Devices, name: str) -> list[Device]:
    value = getattr(devices, name)
    found = value if isinstance(value, list) else [value]
    return [device for device in found if isinstance(device, Device)]


def _devices(old: Iterable[Device], new: Iterable[Device]) -> Iterator[Difference]:
    """Devices of one kind, each told by its place."""
    before, after = _by_place(old), _by_place(new)
    for place in [*before, *(p for p in after if p not in before)]:
        tag = (before.get(place) or after[place]).tag
        yield from _model(f"<{tag}> {place}".rstrip(), before.get(place), after.get(place), tag)


def _by_place(devices: Iterable[Device]) -> dict[str, Device]:
    found: dict[str, Device] = {}
    for device in devices:
        place = _place(device)
        if place in found or not place:
            place = next(p for n in range(len(found) + 1) if (p := f"{place} number {n + 1}".strip()) not in found)
        found[place] = device
    return found


def _place(device: Device) -> str:
    """What tells a device from others of its kind: its name, number or address; nothing where it has none of them."""
    if isinstance(device, Disk):
        return device.target or ""
    if isinstance(device, Controller):
        companion = f" {device.model}" if device.type == "usb" and device.master_port is not None else ""
        return f"{device.type} {device.index}{companion}"
    if isinstance(device, Port) and device.port is not None:
        return f"{device.port}"
    if isinstance(device, Input) and device.address is None:
        return f"{device.type} on {device.bus}"
    return f"at {_address(device.address)}" if device.address is not None else ""


def _address(address: Address) -> str:
    if isinstance(address, PciAddress):
        return f"pci {address.domain or 0:04x}:{address.bus or 0:02x}:{address.slot or 0:02x}.{address.function or 0:x}"
    said = [f"{name} {value}" for name in specs(type(address)) if (value := getattr(address, name)) is not None]
    return ", ".join(said).removeprefix("type ")


def _same_place(one: object, other: object) -> bool:
    return isinstance(one, Address) and isinstance(other, Address) and _address(one) == _address(other)


# --- any two objects of a model


def _model(where: str, old: Model | None, new: Model | None, element: str) -> Iterator[Difference]:
    if new is None:
        yield Difference(element, f"{where}: is gone")
    elif old is None:
        yield Difference(element, f"{where}: is new")
    elif (kept := _common(type(old), type(new))) is None:
        yield Difference(element, f"{where}: {_said(old)} became {_said(new)}")
    else:
        yield from _fields(element, where, old, new, kept)


def _common(old: type[Model], new: type[Model]) -> type[Model] | None:
    """The class whose fields both have: their own if it is the same, else the one that the tables name."""
    if old is new:
        return old
    shared = (k for k in old.__mro__ if k in VISIBLE and k not in (Device, VirtioOptions) and issubclass(new, k))
    return next(shared, None)


def _visible(kind: type[Model]) -> Mapping[str, Spec]:
    """The fields that count, in canonical order."""
    known = specs(kind)
    if any(base in VISIBLE for base in kind.__mro__):
        chosen = {name for base in kind.__mro__ for name in VISIBLE.get(base, "").split()}
        return {name: spec for name, spec in known.items() if name in chosen}
    hidden = HOST_SIDE.get(kind, "").split()
    return {name: spec for name, spec in known.items() if name not in hidden and not spec.live}


def _fields(element: str, where: str, old: Model, new: Model, kind: type[Model] | None = None) -> Iterator[Difference]:
    for name, spec in _visible(kind or type(old)).items():
        before, after = getattr(old, name), getattr(new, name)
        if name in MEANS_NO.get(type(old), ""):
            before, after = bool(before), bool(after)
        if before == after:
            continue
        inside = ": ".join(filter(None, (where, _named(spec))))
        at = element if where else spec.path.partition("/")[0].lstrip("@") or element
        if isinstance(before, list):
            yield from _several(at, inside, before, after)
        elif spec.model is not None and (not isinstance(before or after, Address) or _same_place(before, after)):
            yield from _model(inside, before, after, at)
        else:
            yield Difference(at, f"{inside}: {_said(before)} became {_said(after)}")


def _several(element: str, where: str, old: list[Any], new: list[Any]) -> Iterator[Difference]:
    """Lists: CPU features by their name, the others by their order."""
    pairs: list[tuple[str, Any, Any]]
    if all(isinstance(item, CpuFeature) for item in (*old, *new)):
        before, after = ({item.name: item for item in items} for items in (old, new))
        pairs = [(f" {n}", before.get(n), after.get(n)) for n in [*before, *(n for n in after if n not in before)]]
    else:
        pairs = [(f" number {n + 1}", one, other) for n, (one, other) in enumerate(zip_longest(old, new))]
    for which, one, other in pairs:
        if isinstance(one or other, Model):
            yield from _model(where + which, one, other, element)
        elif one != other:
            yield Difference(element, f"{where}{which}: {_said(one)} became {_said(other)}")


def _named(spec: Spec) -> str:
    """A field's path as XML is spoken of: <model type>."""
    element, _, attribute = spec.path.partition("@")
    element = element.strip("/").replace("/", "><")
    return f"<{' '.join(filter(None, (element, attribute)))}>" if element else attribute


def _said(value: object) -> str:
    """A value for a person."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case Address():
            return _address(value)
        case Model():
            said = [str(v) for name in _visible(type(value)) if (v := getattr(value, name)) not in (None, [], False)
                    and not isinstance(v, Model)]  # fmt: skip
            return " ".join(said) or f"<{value.tag}>"
    return str(value)
