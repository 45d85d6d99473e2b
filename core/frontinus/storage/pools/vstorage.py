"""Pools of type vstorage: a cluster of Virtuozzo Storage, mounted by its own tool."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.storage.pool import Pool
from frontinus.storage.pools.files import Files
from frontinus.storage.steps import MakeFolder, Mounted, Need, Run, Script, ask, tell


class Vstorage(Files):
    name = "vstorage"
    needs = ("name", "path")
    programs = ("vstorage-mount",)

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        if (pool.origin.name or "").startswith("-"):
            yield f"<name>: '{pool.origin.name}' is no name of a cluster"

    def start(self, pool: Pool) -> Script[None]:
        yield Need(self.programs, "fuse")
        if (yield Mounted(pool.path)) is None:
            mode = pool.permissions.mode
            permissions = ("-m", f"0{mode:o}") if mode is not None else ()
            yield Run(("vstorage-mount", "-c", pool.origin.name or "", *permissions, pool.path))

    def stop(self, pool: Pool) -> Script[None]:
        if (yield Mounted(pool.path)) is not None:
            yield Run(("umount", pool.path))

    def is_active(self, pool: Pool) -> Script[bool]:
        there = yield from ask(Mounted(pool.path))
        return bool(there == f"vstorage://{pool.origin.name}")

    def delete(self, pool: Pool) -> Script[None]:
        return tell()

    def build(self, pool: Pool, flags: object = ()) -> Script[None]:
        return tell(MakeFolder(pool.path, pool.permissions))
