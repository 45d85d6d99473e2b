"""No word of a definition is taken and lost: each one changes what is done for its guest, or is refused, or stands below with
the reason why it does neither. Every field of every class is added, or changed, alone, in guests of all kinds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from frontinus.api.errors import FrontinusError
from frontinus.domain import limits, resctrl
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.prepare import prepare
from frontinus.domain.scaled import Scaled
from frontinus.domain.unkept import unkept
from frontinus.qemu.plan import launch_plan
from frontinus.xml import Flag, Model, Raw, Size
from frontinus.xml.mapping import Spec, specs
from support.disk_argv import seal
from support.guests import qemu72
from support.models import below, texts_of
from support.sample_guests import samples
from support.whole_guest import HOST as BASE

HOST = dataclasses.replace(
    BASE, cpus=64, vhost_net=True, virtiofsd_options=frozenset({"--readonly"}), network_addresses={"default": "192.0.2.1"},
    scsi_generic={"*": "sg0"}, nbdkit="/usr/bin/nbdkit", nbdkit_parts=frozenset({"curl", "ssh", "readahead"}),
    swtpm_setup=frozenset({"cmdarg-profile", "cmdarg-profile-remove-disabled"}), render_nodes=("/dev/dri/renderD128",),
    tls=dict.fromkeys(("vnc", "spice", "chardev", "nbd", "vxhs", "default"), "/pki"),
)  # fmt: skip


class Everything(Capabilities):
    """An emulator that has all: what it does not take, nobody will."""

    def has_schema(self, path: str) -> bool:
        return True

    def has_type(self, name: str) -> bool:
        return True

    def has_property(self, type_name: str, name: str) -> bool:
        return True

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        return True


PROBE = qemu72()
FACTS = {field.name: getattr(PROBE, field.name) for field in dataclasses.fields(PROBE)}
CAPS = Everything(**{**FACTS, "sev": {"cbitpos": 47, "reduced-phys-bits": 1}})
NUMBERS = (5, 1, 64, 2000)


def walk(model: Model) -> Iterator[Model]:
    yield model
    for child in model.models():
        yield from walk(child)


def told(definition: Guest) -> str:
    """All that is done for a guest because of its definition. Raises FrontinusError for what is refused."""
    guest = prepare(complete(definition, CAPS, HOST), CAPS, HOST, guest_id=7)
    plan = launch_plan(guest, CAPS, HOST, seal=seal)
    vcpus, threads = range(guest.vcpus or 1), [thread.id for thread in guest.all_iothreads()]
    cards = guest.devices.interfaces
    return repr((
        plan, list(unkept(guest)), list(limits.limits(guest)), resctrl.shares(guest),
        limits.emulator_cpus(guest), limits.emulator_scheduling(guest),
        [(limits.vcpu_cpus(guest, number), limits.vcpu_scheduling(guest, number)) for number in vcpus],
        [(limits.iothread_cpus(guest, number), limits.iothread_scheduling(guest, number)) for number in threads],
        [(card.inbound, card.outbound) for card in cards], (guest.on_poweroff, guest.on_reboot, guest.on_crash),
    ))  # fmt: skip


def values(spec: Spec, now: object) -> Sequence[Any]:
    """Other values of a field."""
    codec = spec.codec
    if codec is Flag:
        return [not now]
    if codec is Raw:
        return []
    if isinstance(codec, Size | Scaled):
        found: list[Any] = [2**21, 3 * 2**20]
    elif not hasattr(codec, "parse") or codec.parse is str:
        found = ["a1", "/a/b"]
    else:
        found = [codec.parse(text) for text in (codec.words or texts_of(codec))]
        found = [*NUMBERS, *found] if any(type(value) is int for value in found) else found
    return [value for value in dict.fromkeys(found) if value != now][:8]


def classes(kind: type[Model] = Guest, done: set[type[Model]] | None = None) -> set[type[Model]]:
    """Everything that a guest is made of."""
    done = set() if done is None else done
    if kind not in done:
        done.add(kind)
        for spec in specs(kind).values():
            for part in below(spec):
                classes(part, done)
    return done


def words(kind: type[Model]) -> Iterator[tuple[str, Spec]]:
    """Its fields that hold one value; what only a running guest has is nobody's wish."""
    return (
        (name, spec) for name, spec in specs(kind).items() if spec.model is None and not spec.many and not spec.live
    )


@pytest.fixture(scope="module")
def lost() -> Mapping[str, bool]:
    """Words that changed nothing in any guest that takes them; True for those that were tried at all."""
    counts: set[str] = set()
    tried: set[str] = set()
    for text in samples():
        base = parse_guest(text)
        before = told(base)
        for place, model in enumerate(walk(base)):
            for name, spec in words(type(model)):
                key = f"{type(model).__name__}.{name}"
                if key not in counts:
                    tried.add(key)
                    if any(matters(base, place, name, value, before) for value in values(spec, getattr(model, name))):
                        counts.add(key)
    every = {f"{kind.__name__}.{name}" for kind in classes() for name, _ in words(kind)}
    return {key: key in tried for key in every - counts}


def matters(base: Guest, place: int, name: str, value: object, before: str) -> bool:
    """Whether a guest with another value of one word is another to the host, or none."""
    other = base.clone()
    setattr(list(walk(other))[place], name, value)
    try:
        return told(other) != before
    except FrontinusError:
        return True


REASONS: Mapping[str, str] = {
    "a word that only chooses the class of its element, or is the only one that it can be": """
        CertificateSmartcard.mode Crypto.model Crypto.type EmulatorBackend.type EncryptionSecret.type ExternalBackend.mode
        ExternalBackend.source_type ExternalBackend.type Hub.type PassthroughBackend.type PassthroughSmartcard.mode
        Pstore.backend Redirdev.bus Slice.type Smartcard.mode VhostScsiHostdev.protocol""",
    "says nothing without another word of its element, which names the kind, address or file": """
        Auth.type Channel.log_append Channel.protocol Clock.basis Clock.timezone Console.log_append EgdBackend.log_append
        Filesystem.pool Filesystem.source_dev Filesystem.source_file Filesystem.source_name Filesystem.units Filesystem.usage
        Filesystem.volume FirmwareFeature.name Guest.bootloader_arguments Guest.iommufd_group Input.grab
        Interface.teaming_partner InterfaceSource.name InterfaceSource.socket Listen.network MdevHostdev.teaming_persistent
        Parallel.log_append PassthroughSmartcard.log_append Redirdev.log_append ScsiHostdev.adapter ScsiHostdev.bus
        ScsiHostdev.target ScsiHostdev.teaming_persistent ScsiHostdev.unit Source.dir Source.mode Source.path Source.pool
        Source.reconnect Source.reconnect_timeout Source.volume UsbHostdev.teaming_persistent Vcpu.order
        VhostScsiHostdev.teaming_persistent DriveAddress.target""",
    "for people, and for other programs": "Guest.description Guest.title Guest.metadata",
    "of other hypervisors and processors, in elements that are QEMU's too": """
        CharEnd.master CharEnd.slave CharEnd.startup_policy Controller.max_event_channels Controller.max_grant_frames
        Features.msrs_unknown Features.pae Graphics.multi_user Graphics.replace_user Interface.guest_name Interface.mac_check
        Interface.mac_type InterfaceSource.connection_id InterfaceSource.portgroup_id InterfaceSource.switch_id
        LaunchSecurity.mr_config_id LaunchSecurity.mr_owner LaunchSecurity.mr_owner_config
        LaunchSecurity.quote_generation_service""",
    "what it belongs to is refused as a whole": """
        CapabilityHostdev.* Cipher.* ForeignAddress.* Gic.* Hpt.* PerfEvent.name SecurityLabel.base_label SecurityLabel.label
        SecurityLabel.model Tag.id Tag.native VirtualPort.interface_id VirtualPort.profile_id Vlan.trunk XenPassthrough.*""",
    "QEMU does it by itself, for every such device": """
        MdevHostdev.managed PassthroughBackend.version ExternalBackend.version ScsiHostdev.managed UsbHostdev.managed
        VhostScsiHostdev.managed""",
    "QEMU has no such knobs; libvirt passes them over too": "Catchup.limit Catchup.slew Catchup.threshold",
    "docs/domain-xml.md says that nothing comes of it": "Guest.on_lockfailure Interface.trust_filters Lease.*",
    "of the making of an image, not of its use": """
        Encryption.cipher_hash Encryption.cipher_mode Encryption.cipher_size Encryption.ivgen_hash""",
    "counts later: in snapshots, for a device that is missing, for a CPU or model that the host lacks, for what is shared": """
        Cpu.check CpuModelName.fallback Disk.snapshot ScsiHostdev.shareable UsbHostdev.startup_policy EmulatorBackend.persistent
        Video.primary""",
    "tested elsewhere: the firmware's variables, monitors of resctrl, work under way": """
        CacheMonitor.level MemoryMonitor.* Mirror.* Nvram.* VarStore.*""",
}
"""Words that change nothing here, by the reason."""


def test_every_word_is_told_or_refused_or_said_to_be_neither(lost: Mapping[str, bool]) -> None:
    said = [word for words in REASONS.values() for word in words.split()]
    whole = {word.removesuffix("*") for word in said if word.endswith("*")}
    assert [word for word in sorted(lost) if word not in said and not word.startswith(tuple(whole))] == []
    assert [word for word in said if word not in lost and not word.endswith("*")] == [], "they are told after all"
    assert [kind for kind in whole if not any(word.startswith(kind) for word in lost)] == []


def test_a_word_that_is_lost_would_be_found() -> None:
    base = parse_guest(next(samples()))
    assert matters(base, 0, "memory", 2**30, told(base))
    assert not matters(base, 0, "title", "t", told(base))
