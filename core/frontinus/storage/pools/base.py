"""What a kind of pool is: how its definition is completed and checked, and what it does, as scripts of steps.

Every kind passes the same contract (tests/contract/pools.py). What a kind cannot do it says by Unsupported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.block.credentials import check_auth, check_encryption
from frontinus.storage.imaging import Remote
from frontinus.storage.parts import Permissions
from frontinus.storage.pool import Pool, PoolTarget, Server
from frontinus.storage.steps import Found, Script, tell
from frontinus.storage.volume import Volume
from frontinus.xml import Model, many, one, texts, xml

FILE_FORMATS = ("none", "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop", "cow", "qcow", "qcow2",
                "qed", "vmdk")  # fmt: skip
"""Formats of volumes that are files, in the order of pool capabilities."""
MAX_SIZE = 2**63 - 1
"""Bytes that the kernel can count in a file or device."""


class SourceSpec(Model, tag="source"):
    """Where to look for sources of pools."""

    hosts: list[Server] = many("host", Server)
    devices: list[str] = texts("device/@path")
    dir: str | None = xml("dir/@path")
    name: str | None = xml("name")
    initiator: str | None = xml("initiator/iqn/@name")
    format: str | None = xml("format/@type")


class FoundSource(Model, tag="source"):
    """One source that was found."""

    host: Server | None = one("host", Server)
    devices: list[str] = texts("device/@path")
    dir: str | None = xml("dir/@path")
    name: str | None = xml("name")
    format: str | None = xml("format/@type")


@dataclass
class Listing:
    """What a refresh found. Sizes in bytes. `missing`: parts of the pool that cannot be reached, which degrades it."""

    capacity: int = 0
    allocation: int = 0
    available: int = 0
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    """By name."""
    missing: tuple[str, ...] = ()
    found: Mapping[str, Found] = field(default_factory=dict)
    """What was found by a scan, for kinds that look again only at what changed."""

    def places(self) -> dict[str, tuple[str, str]]:
        """Type and path of each volume, by its name."""
        if self.found:
            return {name: (self.found[name].place.kind, self.found[name].path) for name in self.volumes}
        return {name: (volume.type or "file", volume.path) for name, volume in self.volumes.items()}


class PoolKind:
    """Base of all kinds. A script may fail with any FrontinusError; then nothing of it is left half, or it says what is."""

    name: ClassVar[str]
    volume_type: ClassVar[str] = "block"
    source_formats: ClassVar[tuple[str, ...]] = ()
    default_source_format: ClassVar[str | None] = None
    volume_formats: ClassVar[tuple[str, ...]] = ()
    default_volume_format: ClassVar[str | None] = None
    needs: ClassVar[tuple[str, ...]] = ()
    """Parts of a definition without which it is none: host, device, dir, adapter, name, path, initiator."""
    programs: ClassVar[tuple[str, ...]] = ()
    """Tools without which such a pool cannot be started."""
    supported: ClassVar[bool] = True
    holds_files: ClassVar[bool] = False
    """Its volumes are files and folders for this host, whatever they are for guests."""

    # The definition

    def complete(self, pool: Pool) -> None:
        """Fill in what the kind implies."""
        source = pool.origin
        if self.source_formats and source.format is None:
            source.format = self.default_source_format
        path = self.implied_path(pool)
        if path is not None:
            pool.target = pool.target or PoolTarget()
            pool.target.path = path

    def implied_path(self, pool: Pool) -> str | None:
        """The target's path where it follows from the source."""
        return None

    def check(self, pool: Pool) -> Iterator[str]:
        """Every reason why this pool cannot be."""
        source = pool.origin
        there = {"host": bool(source.hosts), "device": bool(source.devices), "dir": bool(source.dir), "name": bool(source.name),
                 "adapter": source.adapter is not None, "path": bool(pool.path), "initiator": bool(source.initiator)}  # fmt: skip
        for part in self.needs:
            if not there[part]:
                yield f"<{'target' if part == 'path' else 'source'}> of a pool of type '{self.name}': <{part}> is missing"
        if pool.path and not pool.path.startswith("/"):
            yield f"<path>: '{pool.path}' is not absolute"
        if source.format is not None and source.format not in self.source_formats:
            yield f"<format>: pools of type '{self.name}' have no source format '{source.format}'"
        if source.auth is not None:
            yield from check_auth(source.auth)
            if source.auth.type is None:
                yield "<auth>: attribute 'type' is missing"
        if pool.mount_options and self.name not in ("fs", "netfs"):
            yield f"<fs:mount_opts> are not for pools of type '{self.name}'"
        if pool.config_options and self.name != "rbd":
            yield f"<rbd:config_opts> are not for pools of type '{self.name}'"
        for device in source.devices:
            if device.path.startswith("-") or "\n" in device.path:
                yield f"<device>: '{device.path}' is no path of a device"

    def complete_volume(self, pool: Pool, volume: Volume) -> None:
        """Fill in what the kind implies for a volume."""
        place = volume.place
        if not self.volume_formats:
            place.format = None
        elif place.format is None:
            place.format = self.default_volume_format

    def check_volume(self, pool: Pool, volume: Volume) -> Iterator[str]:
        """Every reason why this volume cannot be."""
        if volume.format and volume.format not in self.volume_formats:
            yield f"<format>: pools of type '{self.name}' have no volumes of format '{volume.format}'"
        for tag, size in (("capacity", volume.capacity), ("allocation", volume.allocation)):
            if size is not None and size > MAX_SIZE:
                yield f"<{tag}>: nothing has more than {MAX_SIZE} bytes"
        backing = volume.backing
        if backing is not None and backing.path and not backing.path.startswith("/"):
            yield f"<backingStore>: '{backing.path}' is not absolute"
        encryption = volume.encryption
        if encryption is not None:
            chosen = encryption.clone(cipher=None, ivgen=None)
            yield from (reason for reason in check_encryption(chosen) if "<secret> is missing" not in reason)
            if encryption.cipher is not None and not encryption.cipher_size:
                yield "<cipher>: attribute 'size' is missing"

    def identity(self, pool: Pool) -> tuple[object, ...]:
        """What no two pools may have in common: where the bytes come from."""
        source = pool.origin
        adapter = repr(source.adapter) if source.adapter else None
        hosts = tuple(host.name for host in source.hosts)
        return (self.name, hosts, tuple(pool.device_paths), source.dir, source.name, adapter, source.initiator)

    # The pool

    def start(self, pool: Pool) -> Script[None]:
        """Make it reachable."""
        return tell()

    def stop(self, pool: Pool) -> Script[None]:
        return tell()

    def build(self, pool: Pool, flags: Sequence[str]) -> Script[None]:
        """Make what the pool is made of."""
        self._only(flags, ())
        return tell()

    def delete(self, pool: Pool) -> Script[None]:
        raise self.cannot("be deleted")

    def refresh(self, pool: Pool) -> Script[Listing]:
        """Find its volumes and sizes."""
        raise self.cannot("be refreshed")

    def refresh_again(self, pool: Pool, listing: Listing) -> Script[Listing]:
        """The same after an earlier listing, of which what did not change may be kept."""
        return self.refresh(pool)

    def refresh_one(self, pool: Pool, listing: Listing, name: str) -> Script[Listing]:
        """The same after a change of one volume."""
        return self.refresh(pool)

    def is_active(self, pool: Pool) -> Script[bool]:
        """Whether it is reachable already: after a restart of the engine, or because somebody mounted it."""
        yield from ()
        return False

    def find_sources(self, spec: SourceSpec) -> Script[list[FoundSource]]:
        raise self.cannot("be looked for")

    # Volumes

    def volume_path(self, pool: Pool, name: str) -> str:
        """Where a new volume will be."""
        return f"{pool.path}/{name}"

    def reserve(self, pool: Pool, volume: Volume) -> Script[str]:
        """Choose where a new volume will be made, and change nothing: the answer is journalled, for `unmake`."""
        raise self.cannot("get new volumes")

    def make(self, pool: Pool, volume: Volume, reserved: str) -> Script[str]:
        """Make room for a new volume; returns the path to write its content to."""
        raise self.cannot("get new volumes")

    def unmake(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        """Take back what `make` made, or did not come to make."""
        raise self.cannot("get new volumes")

    def settle(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        """The content is written: give the volume its place."""
        return tell()

    def remove(self, pool: Pool, volume: Volume) -> Script[None]:
        raise self.cannot("have volumes deleted")

    def reach(self, pool: Pool, volume: Volume) -> Script[Volume]:
        """A volume as this host has it."""
        yield from ()
        return volume

    def remote(self, pool: Pool, name: str, login: str) -> Remote:
        """How QEMU reaches a volume that this host does not. `login`: the id of the secret, where one is needed."""
        raise self.cannot("have volumes read or written by this host")

    def names(self, pool: Pool, volume: Volume) -> set[tuple[str, ...]]:
        """How guests name a volume that is not of this host (`domain.usedplaces`)."""
        return set()

    def grow(self, pool: Pool, volume: Volume, size: int) -> Script[None]:
        """Change the size of the room, for kinds where that is not the image's own."""
        raise self.cannot("have volumes resized")

    # Helpers of the kinds

    def cannot(self, what: str) -> Unsupported:
        return Unsupported(f"pools of type '{self.name}' cannot {what}")

    def _only(self, flags: Sequence[str], known: tuple[str, ...]) -> None:
        for flag in flags:
            if flag not in known and flag != "new":
                raise Unsupported(f"pools of type '{self.name}' cannot be built with '{flag}'")
        if "overwrite" in flags and "no-overwrite" in flags:
            raise Unsupported("overwrite and no-overwrite exclude each other")


def named(volumes: Iterable[Volume]) -> dict[str, Volume]:
    """Volumes by their names."""
    return {volume.name or "": volume for volume in volumes}


def block_volume(found: Found, name: str, key: str) -> Volume:
    """A block device as a volume."""
    from frontinus.storage.volume import VolumeTarget

    place = found.place
    return Volume(
        type="block", name=name, key=key, capacity=place.size, allocation=place.size,
        target=VolumeTarget(path=found.path, permissions=Permissions(mode=place.mode, owner=place.owner, group=place.group)),
    )  # fmt: skip
