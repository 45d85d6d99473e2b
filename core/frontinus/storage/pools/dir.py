"""Pools of type dir: the files of a folder."""

from __future__ import annotations

from frontinus.api.errors import StorageFailed
from frontinus.storage.pool import Pool
from frontinus.storage.pools.files import Files, folder_exists
from frontinus.storage.steps import Script


class Dir(Files):
    name = "dir"

    def start(self, pool: Pool) -> Script[None]:
        if not (yield from folder_exists(pool.path)):
            raise StorageFailed(f"pool '{pool.name}': there is no folder {pool.path}; build the pool", path=pool.path)

    def is_active(self, pool: Pool) -> Script[bool]:
        return folder_exists(pool.path)
