"""Pools of type rbd: the images of a Ceph pool, by the tool of that name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from frontinus.api.errors import StorageFailed
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import Listing, PoolKind, named
from frontinus.storage.steps import Login, Need, Run, Script, output, tell
from frontinus.storage.volume import Volume, VolumeTarget

NEW = ".frontinus-new"


class Rbd(PoolKind):
    name = "rbd"
    volume_type = "network"
    volume_formats = ("raw",)
    default_volume_format = "raw"
    needs = ("name",)
    programs = ("rbd",)

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        if pool.origin.auth is not None and pool.origin.auth.type not in (None, "ceph"):
            yield "<auth> of a pool of type 'rbd' is of type 'ceph'"
        for option in pool.config_options:
            if not re.fullmatch(r"[a-z0-9_]+", option.name):
                yield f"<rbd:option>: '{option.name}' is no name of an option"
        if (pool.origin.name or "").startswith("-"):
            yield "<name>: this is no name of a Ceph pool"

    def check_volume(self, pool: Pool, volume: Volume) -> Iterator[str]:
        yield from super().check_volume(pool, volume)
        if re.search(r"[@/]|^-", volume.name or ""):
            yield f"<name>: '{volume.name}' is no name of an image of Ceph"

    def cluster(self, pool: Pool) -> tuple[str, ...]:
        """How the tools find the cluster and log in. The key comes from a file that Login fills."""
        source = pool.origin
        hosts = ",".join(
            f"{_bracketed(host.name)}:{host.port}" if host.port else _bracketed(host.name) for host in source.hosts
        )
        words = ("--mon-host", hosts) if hosts else ()
        login = ("--id", source.auth.username or "", "--keyfile", keyfile(pool)) if source.auth is not None else ()
        options = tuple(f"--{option.name}={option.value}" for option in pool.config_options)
        return (*words, *login, *options)

    def start(self, pool: Pool) -> Script[None]:
        yield Need(self.programs)
        auth = pool.origin.auth
        if auth is not None:
            yield Login(keyfile(pool), "ceph", auth.secret_uuid, auth.secret_usage, base64=True)
        yield from self._listing(pool)

    def is_active(self, pool: Pool) -> Script[bool]:
        yield from ()
        return True

    def refresh(self, pool: Pool) -> Script[Listing]:
        rows = yield from self._listing(pool)
        text = yield from output("ceph", *self.cluster(pool), "df", "--format", "json", accept=(0,))
        capacity, used, free = usage_of(text, pool.origin.name or "")
        volumes = [image(pool, str(row["image"]), int(row["size"])) for row in rows if "snapshot" not in row]
        return Listing(capacity, used, free, named(one for one in volumes if not (one.name or "").endswith(NEW)))

    def _listing(self, pool: Pool) -> Script[list[dict[str, Any]]]:
        text = yield from output(
            "rbd", *self.cluster(pool), "--pool", pool.origin.name or "", "ls", "--long", "--format", "json"
        )
        try:
            rows = json.loads(text)
        except ValueError as error:
            raise StorageFailed(f"pool '{pool.name}': rbd's answer makes no sense: {error}") from None
        return [row for row in rows if isinstance(row, dict) and "image" in row and "size" in row]

    def volume_path(self, pool: Pool, name: str) -> str:
        return f"{pool.origin.name}/{name}"

    def reserve(self, pool: Pool, volume: Volume) -> Script[str]:
        yield from ()
        return f"{volume.name}{NEW}"

    def make(self, pool: Pool, volume: Volume, reserved: str) -> Script[str]:
        size = f"{-(-(volume.capacity or 0) // 2**20)}M"
        yield Run(("rbd", *self.cluster(pool), "create", "--size", size, f"{pool.origin.name}/{reserved}"))
        return f"rbd:{pool.origin.name}/{reserved}"

    def unmake(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        return tell(
            Run(("rbd", *self.cluster(pool), "rm", "--no-progress", f"{pool.origin.name}/{reserved}"), accept=(0, 2))
        )

    def settle(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        name = f"{pool.origin.name}/{volume.name}"
        return tell(Run(("rbd", *self.cluster(pool), "rename", f"{pool.origin.name}/{reserved}", name)))

    def remove(self, pool: Pool, volume: Volume) -> Script[None]:
        return tell(Run(("rbd", *self.cluster(pool), "rm", "--no-progress", f"{pool.origin.name}/{volume.name}")))

    def grow(self, pool: Pool, volume: Volume, size: int) -> Script[None]:
        megabytes = f"{-(-size // 2**20)}M"
        name = f"{pool.origin.name}/{volume.name}"
        return tell(
            Run(("rbd", *self.cluster(pool), "resize", "--allow-shrink", "--no-progress", "--size", megabytes, name))
        )


def keyfile(pool: Pool) -> str:
    """Where the key of Ceph is while the pool is active: a file of the engine's, in memory."""
    return f"{{run}}/ceph-{pool.uuid}.key"


def image(pool: Pool, name: str, size: int) -> Volume:
    path = f"{pool.origin.name}/{name}"
    return Volume(type="network", name=name, key=path, capacity=size, allocation=size,
                  target=VolumeTarget(path=path, format="raw"))  # fmt: skip


def usage_of(text: str, pool: str) -> tuple[int, int, int]:
    """Capacity, used and free bytes of a pool in the answer of `ceph df --format json`."""
    try:
        row = next(row["stats"] for row in json.loads(text)["pools"] if row["name"] == pool)
        used, free = int(row.get("stored", row.get("bytes_used", 0))), int(row["max_avail"])
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise StorageFailed(f"the figures of the Ceph pool '{pool}' make no sense: {error!r}") from None
    return used + free, used, free


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
