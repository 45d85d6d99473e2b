"""The <disk> device: what the guest sees of it (device, target, model) and the images behind it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, VirtioOptions
from frontinus.domain.devices.block.credentials import Auth, Encryption
from frontinus.domain.devices.block.disk_check import check_disk
from frontinus.domain.devices.block.image import Image
from frontinus.domain.devices.block.iotune import IoTune, ThrottleFilter
from frontinus.domain.devices.block.source import FORMATS, TYPES, Source
from frontinus.domain.devices.block.statistics import Histogram, Interval
from frontinus.domain.devices.queues import ThreadOfQueues
from frontinus.domain.reasons import within
from frontinus.xml import Element, ElementCodec, Flag, Model, Size, Variants, format_document, many, one, xml
from frontinus.xml.codecs import OnOff, UInt32, YesNo, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

POSITIVE = integer(1, 2**32 - 1)
BUSES = ("ide", "fdc", "scsi", "virtio", "xen", "usb", "uml", "sata", "sd", "nvme")
BUS_OF_TARGET = {"fd": "fdc", "hd": "ide", "sd": "scsi", "vd": "virtio", "xvd": "xen", "ubd": "uml", "nvme": "nvme"}
"""The bus that a target's name stands for when the user names none."""
TARGET = re.compile(r"(fd|hd|vd|sd|xvd|ubd)([a-z]+)(\d*)")
NAMESPACE = re.compile(r"nvme(\d{1,3})n(\d{1,3})")
NAMESPACES = 256
"""Of one NVMe controller: QEMU's NVME_MAX_NAMESPACES."""
REMOVABLE = frozenset({"cdrom", "floppy"})
MEDIUMLESS = frozenset({"file", "block", "dir", "volume"})
"""Storage types whose empty <source> says that there is no medium; elsewhere it is a mistake."""


class Verbatim(ElementCodec):
    """An element's text with its spaces: serial numbers may begin with some."""

    def read(self, element: Element) -> str | None:
        return element.text or None

    def write(self, element: Element, value: str) -> None:
        element.text = value


BELOW: dict[str, type[Model]] = {}
"""The model of a <backingStore> inside another: itself, which no class can name in its own body."""


class BackingStore(Model, tag="backingStore"):
    """The layer below an image. Without a type it ends the chain: nothing lies below, and nobody need look."""

    type: str | None = xml("@type", one_of(*TYPES))
    index: int | None = xml("@index", UInt32, live=True)
    format: str | None = xml("format/@type", one_of(*FORMATS))
    metadata_cache: int | None = xml("format/metadata_cache/max_size", Size("bytes"))
    source: Source | None = one("source", Source)
    backing_store: BackingStore | None = one("backingStore", Variants("type", BELOW, default="file"))

    def complete(self) -> None:
        """Complete the sources of this layer and of those below."""
        if self.type is not None and self.source is not None:
            self.source.complete(self.type)
        if self.backing_store is not None:
            self.backing_store.complete()

    def image(self) -> Image | None:
        """This layer and those below as the plan sees them; None for the chain's end. Only the top layer is written."""
        if self.type is None or self.source is None:
            return None
        return Image(
            name=f"frontinus-{self.index or 0}", type=self.type, format=self.format or "raw", source=self.source,
            read_only=True, auth=self.source.auth, encryption=self.source.encryption,
            metadata_cache=self.metadata_cache, backing=below(self.backing_store), terminated=ends(self.backing_store),
        )  # fmt: skip


BELOW.update(dict.fromkeys(TYPES, BackingStore))


def below(store: BackingStore | None) -> Image | None:
    """The image that a <backingStore> stands for."""
    return store.image() if store is not None else None


def ends(store: BackingStore | None) -> bool:
    """Whether a <backingStore> says that nothing lies below."""
    return store is not None and store.type is None


class Mirror(Model, tag="mirror"):
    """The target of a running block copy or active commit."""

    type: str | None = xml("@type", one_of(*TYPES))
    file: str | None = xml("@file")
    old_format: str | None = xml("@format", one_of(*FORMATS))
    job: str | None = xml("@job", one_of("copy", "active-commit"))
    ready: str | None = xml("@ready", one_of("yes", "abort", "pivot"))
    format: str | None = xml("format/@type", one_of(*FORMATS))
    metadata_cache: int | None = xml("format/metadata_cache/max_size", Size("bytes"))
    source: Source | None = one("source", Source)
    backing_store: BackingStore | None = one("backingStore", BackingStore)

    def complete(self) -> None:
        """Say the same in the old words (a file's name and format as attributes) and in the new ones."""
        self.job = self.job or "copy"
        self.format = self.format or self.old_format or "raw"
        if self.type is None and self.file:
            self.type, self.source = "file", Source(file=self.file)
        if self.source is not None:
            self.source.complete(self.type or "file")
        old_words = self.type == "file" and self.job == "copy" and self.source is not None
        self.file = self.source.file if old_words and self.source else None
        self.old_format = self.format if old_words else None
        if self.backing_store is not None:
            self.backing_store.complete()

    def image(self) -> Image | None:
        """The copy as the plan sees it."""
        source = self.source
        if source is None:
            return None
        return Image(
            name=f"frontinus-{source.index or 0}", type=self.type or "file", source=source,
            format=self.format or "raw", auth=source.auth, encryption=source.encryption,
            metadata_cache=self.metadata_cache, backing=below(self.backing_store), terminated=ends(self.backing_store),
        )  # fmt: skip


class Transient(Model, tag="transient"):
    """What the guest writes is thrown away at its end; with shared backing other guests may use the image meanwhile."""

    share_backing: bool | None = xml("@shareBacking", YesNo)


class Disk(Device, VirtioOptions, tag="disk"):
    """A <disk> element. `format` is the image's, `type` where it is kept."""

    type: str = xml("@type", one_of(*TYPES), default="file")
    device: str = xml("@device", one_of("disk", "lun", "cdrom", "floppy"), default="disk")
    model: str | None = xml("@model", one_of("virtio", "virtio-transitional", "virtio-non-transitional"))
    rawio: bool | None = xml("@rawio", YesNo)
    sgio: str | None = xml("@sgio", one_of("filtered", "unfiltered"))
    snapshot: str | None = xml("@snapshot", one_of("no", "internal", "external", "manual"))
    driver: str | None = xml("driver/@name")
    format: str | None = xml("driver/@type", one_of(*FORMATS, "aio"))
    cache: str | None = xml(
        "driver/@cache", one_of("default", "none", "writethrough", "writeback", "directsync", "unsafe"))  # fmt: skip
    error_policy: str | None = xml("driver/@error_policy", one_of("stop", "report", "ignore", "enospace"))
    rerror_policy: str | None = xml("driver/@rerror_policy", one_of("stop", "report", "ignore"))
    io: str | None = xml("driver/@io", one_of("native", "threads", "io_uring"))
    ioeventfd: bool | None = xml("driver/@ioeventfd", OnOff)
    event_idx: bool | None = xml("driver/@event_idx", OnOff)
    copy_on_read: bool | None = xml("driver/@copy_on_read", OnOff)
    discard: str | None = xml("driver/@discard", one_of("unmap", "ignore"))
    discard_no_unref: bool | None = xml("driver/@discard_no_unref", OnOff)
    iothread: int | None = xml("driver/@iothread", POSITIVE)
    detect_zeroes: str | None = xml("driver/@detect_zeroes", one_of("off", "on", "unmap"))
    queues: int | None = xml("driver/@queues", UInt32)
    queue_size: int | None = xml("driver/@queue_size", UInt32)
    metadata_cache: int | None = xml("driver/metadata_cache/max_size", Size("bytes"))
    threads: list[ThreadOfQueues] = many("driver/iothreads/iothread", ThreadOfQueues)
    intervals: list[Interval] = many("driver/statistics/statistic", Interval)
    histograms: list[Histogram] = many("driver/statistics/latency-histogram", Histogram)
    auth: Auth | None = one("auth", Auth)
    source: Source | None = one("source", Source)
    backing_store: BackingStore | None = one("backingStore", BackingStore)
    backend_domain: str | None = xml("backenddomain/@name")
    cylinders: int | None = xml("geometry/@cyls", UInt32)
    heads: int | None = xml("geometry/@heads", UInt32)
    sectors: int | None = xml("geometry/@secs", UInt32)
    translation: str | None = xml("geometry/@trans", one_of("none", "auto", "lba"))
    logical_block: int | None = xml("blockio/@logical_block_size", UInt32)
    physical_block: int | None = xml("blockio/@physical_block_size", UInt32)
    discard_granularity: int | None = xml("blockio/@discard_granularity", UInt32)
    mirror: Mirror | None = one("mirror", Mirror, live=True)
    target: str | None = xml("target/@dev")
    bus: str | None = xml("target/@bus", one_of(*BUSES))
    tray: str | None = xml("target/@tray", one_of("open", "closed"))
    removable: bool | None = xml("target/@removable", OnOff)
    rotation_rate: int | None = xml("target/@rotation_rate", UInt32)
    dpofua: bool | None = xml("target/@dpofua", OnOff)
    iotune: IoTune | None = one("iotune", IoTune)
    throttles: list[ThrottleFilter] = many("throttlefilters/throttlefilter", ThrottleFilter)
    readonly: bool = xml("readonly", Flag)
    shareable: bool = xml("shareable", Flag)
    transient: Transient | None = one("transient", Transient)
    serial: str | None = xml("serial", Verbatim())
    wwn: str | None = xml("wwn")
    vendor: str | None = xml("vendor", Verbatim())
    product: str | None = xml("product", Verbatim())
    encryption: Encryption | None = one("encryption", Encryption)

    @property
    def is_empty(self) -> bool:
        """Whether there is no medium in the drive."""
        return self.source is None or self.source.is_empty(self.type)

    @property
    def target_index(self) -> int:
        """The number of the target on its kind of bus: vda is 0. -1 for a name that is none."""
        return target_index(self.target or "")

    def image(self) -> Image | None:
        """The top image and those below as the plan sees them; None for an empty drive and for vhost-user."""
        if self.source is None or self.is_empty or self.type == "vhostuser":
            return None
        return Image(
            name=f"frontinus-{self.source.index or 0}", type=self.type, format=self.format or "", source=self.source,
            read_only=self.readonly, auth=self.source.auth or self.auth,
            encryption=self.source.encryption or self.encryption, metadata_cache=self.metadata_cache,
            backing=below(self.backing_store), terminated=ends(self.backing_store),
        )  # fmt: skip

    @property
    def source_path(self) -> str | None:
        """Where the image is: a path, or the name within a network protocol; None for an empty drive."""
        source = self.source
        return None if source is None else source.local_path or source.path or source.name

    def has_medium_of(self, old: Disk, format: str | None) -> bool:
        """Whether a changed disk has the image that the running one has, to be reached and used as it is.

        `format`: what the change says of it.
        """
        same = (self.type, _said(self.source), self.readonly) == (old.type, _said(old.source), old.readonly)
        keys = self.auth in (None, old.auth) and self.encryption in (None, old.encryption)
        return same and keys and format in (None, old.format)

    def keep_medium(self, old: Disk) -> None:
        """Take over the running disk's image, its layers and their numbers."""
        for name in ("format", "backing_store", "auth", "encryption", "mirror"):
            setattr(self, name, getattr(old, name))
        if self.source is not None and old.source is not None:
            self.source = old.source.clone(startup_policy=self.source.startup_policy)

    def layers(self) -> Iterator[Source | BackingStore]:
        """What carries the index of each layer, from the top down."""
        if self.source is not None and not self.is_empty and self.type != "vhostuser":
            yield self.source
            store = self.backing_store
            while store is not None and store.type is not None:
                yield store
                store = store.backing_store

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        if self.source is None:
            self.type = "file"
        self.target = (self.target or "").removeprefix("ioemu:") or None
        self.bus = self.bus or self._default_bus()
        self.readonly = self.readonly or self.device == "cdrom"
        self.driver = self.driver or "qemu"
        self.format = "raw" if self.format == "aio" or (not self.format and self.type != "volume") else self.format
        self._complete_images()
        self._drop_defaults()
        if self.type == "vhostuser":
            self.snapshot = self.snapshot or "no"
        self._expand_iotune(guest.devices.disks)

    def _default_bus(self) -> str:
        if self.device == "floppy":
            return "fdc"
        match = re.match(r"xvd|ubd|hd|sd|vd|nvme", self.target or "")
        return BUS_OF_TARGET[match[0]] if match else "ide"

    def _complete_images(self) -> None:
        if self.source is not None:
            self.source.complete(self.type)
            if self.source == Source() and not self.source.kept and self.type in MEDIUMLESS:
                self.source = None
        if self.backing_store is not None:
            self.backing_store.complete()
        if self.mirror is not None:
            self.mirror.complete()
        if self.encryption is not None:
            self.encryption.engine = self.encryption.engine or "qemu"

    def _drop_defaults(self) -> None:
        """Leave out what says no more than its absence."""
        if self.cache == "default":
            self.cache = None
        if self.readonly and self.snapshot == "no":
            self.snapshot = None
        if not (self.cylinders and self.heads and self.sectors):
            self.cylinders = self.heads = self.sectors = self.translation = None
        if self.tray == "closed" and self.device in REMOVABLE:
            self.tray = None
        for name in ("queues", "queue_size", "metadata_cache", "logical_block", "physical_block", "rotation_rate"):
            setattr(self, name, getattr(self, name) or None)
        if self.transient is not None:
            self.transient.share_backing = self.transient.share_backing or None
        if self.iotune is not None:
            self.iotune.complete()

    def _expand_iotune(self, disks: Iterable[Disk]) -> None:
        """A throttle group that is named without limits has those of its first disk that states any."""
        if self.iotune is None or self.iotune.has_limits:
            if self.iotune is not None and self.iotune == IoTune():
                self.iotune = None
            return
        for disk in disks:
            if disk.iotune and disk.iotune.group_name == self.iotune.group_name and disk.iotune.has_limits:
                self.iotune = disk.iotune.clone()
                self.iotune.complete()
                return
        if self.iotune == IoTune():
            self.iotune = None

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        for reason in check_disk(self, guest, caps):
            yield within(f"disk '{self.target}'", reason)


def _said(source: Source | None) -> str:
    """A place as a definition has it, but for what happens where nothing is there."""
    return "" if source is None else format_document(source.clone(startup_policy=None), secrets=True)


def target_index(target: str) -> int:
    """0 for sda, 25 for sdz, 26 for sdaa; 257 for nvme1n2; -1 for what is no target."""
    namespace = NAMESPACE.fullmatch(target)
    if namespace is not None:
        controller, number = int(namespace[1]), int(namespace[2])
        return controller * NAMESPACES + number - 1 if 0 < number <= NAMESPACES else -1
    match = TARGET.fullmatch(target)
    if match is None:
        return -1
    index = 0
    for letter in match[2]:
        index = index * 26 + ord(letter) - ord("a") + 1
    return index - 1


def arrange(disks: list[Disk]) -> list[Disk]:
    """Disks by bus, buses in the order of their first disk, on each bus by target: the order that names them."""
    buses: dict[str | None, list[Disk]] = {}
    for disk in disks:
        buses.setdefault(disk.bus, []).append(disk)
    return [disk for group in buses.values() for disk in sorted(group, key=lambda disk: disk.target_index)]


def number_layers(disks: Iterable[Disk], last: int = 0) -> int:
    """Give each layer of each disk an index of its own, from `last` + 1; returns the last one given."""
    for disk in disks:
        for layer in disk.layers():
            last += 1
            layer.index = last
    return last


def last_layer(disks: Iterable[Disk]) -> int:
    """The highest index in use, mirrors included: what a hotplug counts on from."""
    used = [layer.index or 0 for disk in disks for layer in disk.layers()]
    used += [disk.mirror.source.index or 0 for disk in disks if disk.mirror and disk.mirror.source]
    return max(used, default=0)
