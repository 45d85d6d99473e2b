"""Pools of type gluster: the files of a Gluster volume without a mount. Listed through a mount of our own is netfs's way:
this kind needs libgfapi, which has no tool, so it is kept as a definition and cannot be started here."""

from __future__ import annotations

from frontinus.api.errors import Unsupported
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import FILE_FORMATS, PoolKind
from frontinus.storage.steps import Script
from frontinus.storage.volume import Volume


class Gluster(PoolKind):
    name = "gluster"
    volume_type = "network"
    volume_formats = FILE_FORMATS
    default_volume_format = "raw"
    needs = ("host", "name")
    supported = False

    def complete_volume(self, pool: Pool, volume: Volume) -> None:
        super().complete_volume(pool, volume)
        if volume.format == "dir":
            volume.type = "netdir"

    def start(self, pool: Pool) -> Script[None]:
        raise Unsupported("pools of type 'gluster' need libgfapi, which this engine does not use; a pool of type 'netfs' with "
                          "format 'glusterfs' reaches the same volume")  # fmt: skip
