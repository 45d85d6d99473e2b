"""Pools of type rbd: the images of a Ceph pool, by the tool of that name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from frontinus.api.errors import StorageFailed
from frontinus.domain.usedplaces import remote_place
from frontinus.storage.imaging import Remote, escape
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import Listing, PoolKind, named
from frontinus.storage.pools.netfs import bracketed
from frontinus.storage.steps import Login, Need, Remove, Run, RunPlace, Script, output, tell
from frontinus.storage.volume import Volume, VolumeTarget

NEW = ".frontinus-new"
PORT = 6789
"""Of a monitor's older protocol, which QEMU is told where nobody chose."""


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
        if volume.encryption is not None:
            yield "<encryption>: images of Ceph are made without; a disk of a guest may have it"
        if re.search(r"[@/]|^-", volume.name or ""):
            yield f"<name>: '{volume.name}' is no name of an image of Ceph"

    def cluster(self, pool: Pool) -> tuple[str, ...]:
        """How the tools find the cluster and log in. The key comes from a file that Login fills."""
        source = pool.origin
        hosts = ",".join(
            f"{bracketed(host.name)}:{host.port}" if host.port else bracketed(host.name) for host in source.hosts
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

    def stop(self, pool: Pool) -> Script[None]:
        """The key is not left behind."""
        path = yield RunPlace(keyfile(pool).removeprefix("{run}/"))
        yield Remove(path)

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
        return reserved

    def unmake(self, pool: Pool, volume: Volume, reserved: str) -> Script[None]:
        return tell(
            Run(("rbd", *self.cluster(pool), "rm", "--no-progress", f"{pool.origin.name}/{reserved}"), accept=(0, 2))
        )

    def remote(self, pool: Pool, name: str, login: str) -> Remote:
        """Options of QEMU's rbd driver (qapi/block-core.json, BlockdevOptionsRbd)."""
        source, auth = pool.origin, pool.origin.auth
        words = ["driver=rbd", f"pool={escape(source.name or '')}", f"image={escape(name)}"]
        for number, host in enumerate(source.hosts):
            words += [f"server.{number}.host={escape(host.name)}", f"server.{number}.port={host.port or PORT}"]
        if auth is None:
            return Remote(tuple(words))
        words += [f"user={escape(auth.username or '')}", f"key-secret={login}"]
        return Remote(tuple(words), {login: ("ceph", auth.secret_uuid, auth.secret_usage)})

    def names(self, pool: Pool, volume: Volume) -> set[tuple[str, ...]]:
        return {remote_place("rbd", volume.path)}

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
