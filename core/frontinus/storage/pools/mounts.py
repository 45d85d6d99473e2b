"""What the kinds share that mount a file system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from frontinus.api.errors import StorageFailed
from frontinus.storage.pool import Pool
from frontinus.storage.pools.files import Files
from frontinus.storage.steps import Mounted, Need, Run, Script, ask, tell

OPTIONS = ("nodev", "nosuid", "noexec")
"""No image of a guest can be a device, or a program that our host runs."""


class MountedFiles(Files):
    """Base of fs and netfs."""

    programs: ClassVar[tuple[str, ...]] = ("mount",)

    def mount_source(self, pool: Pool) -> str:
        """What mount(8) is told to mount."""
        raise NotImplementedError

    def mount_options(self, pool: Pool) -> list[str]:
        return [*OPTIONS, *pool.mount_options]

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        for option in pool.mount_options:
            if not option or "," in option or option.startswith("-"):
                yield f"<fs:option>: '{option}' is not one option of mount"

    def mount_argv(self, pool: Pool) -> tuple[str, ...]:
        """The command that starts the pool."""
        kind = pool.origin.format
        typed = ("-t", kind) if kind not in (None, "auto") else ()
        return ("mount", "-o", ",".join(self.mount_options(pool)), *typed, self.mount_source(pool), pool.path)

    def needed(self, pool: Pool) -> Need:
        """What the host must have to mount it."""
        kind = pool.origin.format
        return Need(("mount",), kind if kind != "auto" else None)

    def start(self, pool: Pool) -> Script[None]:
        yield from self._refuse_other(pool)
        if (yield Mounted(pool.path)) is None:
            yield self.needed(pool)
            yield Run(self.mount_argv(pool))
            if (yield Mounted(pool.path)) is None:  # a helper of FUSE may fail and not say so
                raise StorageFailed(f"pool '{pool.name}': {self.mount_source(pool)} was not mounted", path=pool.path)

    def _refuse_other(self, pool: Pool) -> Script[None]:
        """What is mounted there already must be ours."""
        there = yield from ask(Mounted(pool.path))
        if there is not None and not (yield from self.is_same(pool, there)):
            raise StorageFailed(f"pool '{pool.name}': {there} is mounted at {pool.path}, not {self.mount_source(pool)}",
                                path=pool.path)  # fmt: skip

    def is_same(self, pool: Pool, there: str) -> Script[bool]:
        """Whether what is mounted is the pool's source."""
        yield from ()
        return there == self.mount_source(pool)

    def stop(self, pool: Pool) -> Script[None]:
        if (yield Mounted(pool.path)) is not None:
            yield Run(("umount", pool.path))

    def is_active(self, pool: Pool) -> Script[bool]:
        there = yield from ask(Mounted(pool.path))
        return there is not None and (yield from self.is_same(pool, there))

    def delete(self, pool: Pool) -> Script[None]:
        return tell()
