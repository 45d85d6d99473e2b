"""What the kinds share whose volumes are files in a folder."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar

from frontinus.domain.devices.block.credentials import Encryption, EncryptionSecret
from frontinus.storage.imaging import is_luks, note_of
from frontinus.storage.parts import Permissions
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import FILE_FORMATS, Listing, PoolKind
from frontinus.storage.steps import (
    Found,
    Inspect,
    Look,
    MakeFolder,
    Remove,
    RemoveFolder,
    Scan,
    Script,
    Settle,
    Space,
    ask,
    tell,
)
from frontinus.storage.volume import BackingStore, Times, Volume, VolumeTarget

TEMPORARY = ".frontinus-"
"""Files that begin so are unfinished work and no volumes."""
ENDING = ".new"


class Files(PoolKind):
    """Base of dir, fs, netfs, vstorage."""

    volume_type = "file"
    volume_formats = FILE_FORMATS
    default_volume_format = "raw"
    needs: ClassVar[tuple[str, ...]] = ("path",)
    holds_files = True

    def complete_volume(self, pool: Pool, volume: Volume) -> None:
        super().complete_volume(pool, volume)
        if volume.type == "dir" or volume.format == "dir":
            volume.type, volume.place.format = "dir", "dir"

    def check_volume(self, pool: Pool, volume: Volume) -> Iterator[str]:
        yield from super().check_volume(pool, volume)
        if not is_name(volume.name or ""):
            yield f"<name>: files called '{volume.name}' are no volumes"

    def identity(self, pool: Pool) -> tuple[object, ...]:
        return ("path", pool.path)

    def build(self, pool: Pool, flags: Sequence[str]) -> Script[None]:
        self._only(flags, ())
        return tell(MakeFolder(pool.path, pool.permissions))

    def delete(self, pool: Pool) -> Script[None]:
        return tell(RemoveFolder(pool.path))

    def refresh(self, pool: Pool) -> Script[Listing]:
        return self.refresh_again(pool, Listing())

    def refresh_again(self, pool: Pool, listing: Listing) -> Script[Listing]:
        found: Mapping[str, Found] = yield Scan(pool.path, listing.found)
        capacity, available = yield Space(pool.path)
        volumes = listing.volumes if found is listing.found else self._volumes(pool, found, listing)
        return Listing(capacity, capacity - available, available, volumes, found=found)

    def _volumes(self, pool: Pool, found: Mapping[str, Found], listing: Listing) -> FileVolumes:
        return FileVolumes(found, listing.volumes, partial(self.shown, pool))

    def shown(self, pool: Pool, found: Found) -> Volume:
        """What was found, as a volume of the pool."""
        return file_volume(found)

    def refresh_one(self, pool: Pool, listing: Listing, name: str) -> Script[Listing]:
        found = {key: one for key, one in listing.found.items() if key != name}
        path = self.volume_path(pool, name)
        if (yield Look(path)) is not None:
            found[name] = yield Inspect(path)
        capacity, available = yield Space(pool.path)
        volumes = self._volumes(pool, found, listing)
        return Listing(capacity, capacity - available, available, volumes, found=found)

    def reserve(self, pool: Pool, volume: Volume) -> Script[str]:
        yield from ()
        return temporary(pool.path)

    def make(self, pool: Pool, volume: Volume, reserved: str) -> Script[str]:
        yield Remove(reserved, tree=is_folder(volume))
        return reserved

    def unmake(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        return tell(Remove(reserved, tree=is_folder(volume)))

    def settle(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        target = self.volume_path(pool, volume.name or "")
        kind = "luks" if volume.format == "raw" and is_luks(volume.encryption) else volume.format
        permissions = volume.place.permissions or Permissions()
        return tell(Settle(reserved, target, kind, permissions, note_of(volume.encryption)))

    def remove(self, pool: Pool, volume: Volume) -> Script[None]:
        return tell(Remove(volume.path, tree=is_folder(volume)))

    def grow(self, pool: Pool, volume: Volume, size: int) -> Script[None]:
        return tell()


def temporary(folder: str) -> str:
    """Where a volume is while it is made: beside its place, under a name that no other engine on this folder takes."""
    return f"{folder}/{TEMPORARY}{secrets.token_hex(12)}{ENDING}"


def is_folder(volume: Volume) -> bool:
    return volume.type in ("dir", "netdir")


def is_volume(found: Found) -> bool:
    """Hidden files and sockets, pipes and the like are no volumes."""
    return is_name(found.name) and found.place.kind in ("file", "block", "dir")


def is_name(name: str) -> bool:
    """Whether a file of this name is seen as a volume."""
    return not name.startswith(".") and name != "lost+found"


def file_volume(found: Found) -> Volume:
    """A file, folder or device in a folder as a volume."""
    place, header = found.place, found.header
    kind = header.trusted(found.declared) if place.kind != "dir" else "dir"
    looked = (
        header if header.format == kind else None
    )  # what a guest wrote into a raw volume says nothing about the volume
    encrypted = looked is not None and looked.encryption is not None
    capacity = looked.capacity if looked is not None and looked.capacity is not None else place.size
    return Volume(
        type=place.kind, name=found.name, key=found.path, capacity=capacity, allocation=place.allocation, physical=place.size,
        target=VolumeTarget(
            path=found.path, format="raw" if kind == "luks" else kind,
            permissions=Permissions(mode=place.mode, owner=place.owner, group=place.group),
            times=Times(accessed=found.times[0], modified=found.times[1], changed=found.times[2]),
            encryption=_encryption(looked.encryption or "luks", found.secret) if looked is not None and encrypted else None,
            compat=looked.compat if looked else None,
            cluster_size=looked.cluster_size if looked else None,
            lazy_refcounts=looked.lazy_refcounts if looked else False,
            extended_l2=looked.extended_l2 if looked else False,
        ),
        backing=BackingStore(path=looked.backing, format=looked.backing_format) if looked and looked.backing else None,
    )  # fmt: skip


class FileVolumes(Mapping[str, Volume]):
    """The volumes of what was found in a folder, each made when somebody asks for it first: a folder may have thousands.

    `before`: those of an earlier listing, of which what was found again as it was is taken over.
    """

    def __init__(
        self, found: Mapping[str, Found], before: Mapping[str, Volume], make: Callable[[Found], Volume] = file_volume
    ) -> None:
        self._make = make
        self._found = {name: one for name, one in found.items() if is_volume(one)}
        self._made: dict[str, Volume] = {}
        if isinstance(before, FileVolumes):
            same = (name for name in before._made if before._found[name] is self._found.get(name))
            self._made = {name: before._made[name] for name in same}

    def __getitem__(self, name: str) -> Volume:
        if name not in self._made:
            self._made[name] = self._make(self._found[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _encryption(kind: str, note: str | None) -> Encryption:
    """What a header tells of an encryption, with the noted secret."""
    by, _, name = (note or "").partition(":")
    secret = EncryptionSecret(type="passphrase", **{by: name}) if by in ("uuid", "usage") else None
    return Encryption(format=kind, secrets=[secret] if secret else [])


def folder_exists(path: str) -> Script[bool]:
    from frontinus.storage.steps import Look

    place = yield from ask(Look(path))
    return place is not None and place.kind == "dir"
