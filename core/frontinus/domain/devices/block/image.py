"""A disk's images as the plan sees them: one value a layer, volumes resolved, linked from the top down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.devices.block.credentials import Auth, Encryption
from frontinus.domain.devices.block.source import BACKED, Host, Source
from frontinus.domain.host import Pool

BY_PATH = frozenset({"dir", "fs", "netfs", "logical", "disk", "scsi", "zfs", "vstorage", "iscsi"})
"""Pools whose volumes are files, folders or block devices of this host."""
DATA = "-data"
"""What the name of an image's own data ends in."""


@dataclass(frozen=True)
class Image:
    """One layer. `name` is the stem of its nodes' names; `terminated`: nothing lies below, so QEMU does not look."""

    name: str
    type: str
    format: str
    source: Source
    read_only: bool = False
    auth: Auth | None = None
    encryption: Encryption | None = None
    metadata_cache: int | None = None
    backing: Image | None = None
    terminated: bool = False

    @property
    def data(self) -> Image | None:
        """Where a qcow2 image has its data, if not in itself."""
        store = self.source.data_store
        if store is None or store.source is None:
            return None
        return Image(f"{self.name}{DATA}", store.type, store.format or "raw", store.source, self.read_only,
                     auth=store.source.auth)  # fmt: skip

    @property
    def protocol(self) -> str | None:
        """The network protocol, None for what this host reaches as a file or device."""
        return self.source.protocol if self.type == "network" else None

    @property
    def is_backed(self) -> bool:
        """Whether the format can have an image below."""
        return self.format in BACKED

    def chain(self) -> Iterator[Image]:
        """This layer and all below."""
        yield self
        if self.backing is not None:
            yield from self.backing.chain()


def resolve(type: str, source: Source, pools: Mapping[str, Pool]) -> tuple[str, Source]:
    """What a volume of a storage pool stands for: a type and a source. Others are returned as they are.

    Raises Unsupported for a pool or volume that is not there or cannot back a disk.
    """
    if type != "volume" or not source.pool or not source.volume:
        return type, source
    pool = pools.get(source.pool)
    if pool is None:
        raise Unsupported(f"<source>: there is no active storage pool '{source.pool}'")
    if source.mode is not None and pool.type != "iscsi":
        raise InvalidXML("<source>: 'mode' is only for pools of type iscsi", element="source")
    if pool.type == "iscsi-direct" or source.mode == "direct":
        return "network", _portal(source, pool)
    path = pool.volumes.get(source.volume)
    if path is None or pool.type not in BY_PATH:
        raise Unsupported(f"<source>: pool '{source.pool}' has no volume '{source.volume}' that can back a disk")
    kind, place = path
    found = source.clone(pool=None, volume=None, mode=None, file=None, dev=None, dir=None)
    setattr(found, {"file": "file", "block": "dev", "dir": "dir"}[kind], place)
    return kind, found


def _portal(source: Source, pool: Pool) -> Source:
    """A LUN of an iSCSI pool, reached by QEMU itself. Its volumes are named unit:HOST:BUS:LUN."""
    parts = (source.volume or "").split(":")
    if len(parts) != 4 or not parts[3].isdigit() or len(pool.hosts) != 1:
        raise Unsupported(f"<source>: volume '{source.volume}' of pool '{source.pool}' is no LUN")
    name, port = pool.hosts[0]
    return source.clone(
        pool=None, volume=None, mode=None, protocol="iscsi", name=f"{pool.device}/{parts[3]}",
        hosts=[Host(name=name, port=port or 3260)], initiator=source.initiator or pool.initiator,
        auth=Auth(username=pool.auth_user, secret_type="iscsi", secret_usage=pool.auth_usage,
                  secret_uuid=pool.auth_uuid) if pool.auth_user else None,
    )  # fmt: skip


def resolved(image: Image, pools: Mapping[str, Pool]) -> Image:
    """The chain with every volume resolved; a volume's format defaults to raw, a folder's to fat."""
    type, source = resolve(image.type, image.source, pools)
    below = resolved(image.backing, pools) if image.backing else None
    if type == image.type and below is image.backing:
        return image
    return replace(image, type=type, source=source, backing=below, auth=source.auth if type == "network" else None,
                   format=image.format or ("fat" if type == "dir" else "raw"))  # fmt: skip
