"""Pools of type iscsi-direct: the LUNs of a target, reached by QEMU itself through libiscsi; the host sees no device."""

from __future__ import annotations

import json
from collections.abc import Iterator

from frontinus.api.errors import InvalidXML, StorageFailed, Unsupported
from frontinus.domain.usedplaces import remote_place
from frontinus.storage.imaging import Remote, escape
from frontinus.storage.pool import Pool
from frontinus.storage.pools.base import FoundSource, Listing, PoolKind, SourceSpec, named
from frontinus.storage.pools.iscsi import address, check_target, targets_of
from frontinus.storage.steps import Image, Need, Script, output
from frontinus.storage.volume import Volume, VolumeTarget

MAX_LUNS = 256
MISSES = 2
"""LUNs in a row that are not there, after which there are no more: a target may leave out its first."""
MADE_THERE = "the LUNs of an iSCSI target are made, resized and deleted at the target"


class IscsiDirect(PoolKind):
    name = "iscsi-direct"
    volume_type = "network"
    needs = ("host", "device", "initiator")

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        yield from check_target(pool)

    def start(self, pool: Pool) -> Script[None]:
        yield Need(("qemu-img",))

    def is_active(self, pool: Pool) -> Script[bool]:
        yield from ()
        return True

    def refresh(self, pool: Pool) -> Script[Listing]:
        """Ask for one LUN after the other. A target that knows none of them is an error."""
        volumes: list[Volume] = []
        refusal: StorageFailed | None = None
        missed = 0
        for unit in range(MAX_LUNS):
            try:
                size = yield from self._size(pool, unit)
                volumes += [lun(pool, unit, size)] if size else []
                missed = 0
            except StorageFailed as error:
                refusal, missed = error, missed + 1
                if missed >= MISSES:
                    break
        if not volumes and refusal is not None:
            raise refusal
        total = sum(volume.capacity or 0 for volume in volumes)
        return Listing(total, total, 0, named(volumes))

    def _size(self, pool: Pool, unit: int) -> Script[int]:
        place = self.remote(pool, f"unit:0:0:{unit}", "login")
        argv = ("info", "--output=json", *place.objects(), "--image-opts", place.graph("raw"))
        text: str = yield Image(argv, logins=place.logins, network=True)
        try:
            return int(json.loads(text)["virtual-size"])
        except (ValueError, KeyError, TypeError) as error:
            raise StorageFailed(f"pool '{pool.name}': qemu-img's answer makes no sense: {error}") from None

    def find_sources(self, spec: SourceSpec) -> Script[list[FoundSource]]:
        """The targets of a portal; asked by the initiator's tool, where it is there."""
        if not spec.hosts:
            raise InvalidXML("<source>: <host> is missing", element="source")
        if spec.hosts[0].name.startswith("-"):
            raise InvalidXML("<host>: this is no name of a server", element="host")
        yield Need(("iscsi-ls",))
        text = yield from output("iscsi-ls", f"iscsi://{address(spec.hosts[0])}")
        found = [
            line.partition("Target:")[2].split(" Portal:")[0].strip() for line in text.splitlines() if "Target:" in line
        ]
        return [FoundSource(host=spec.hosts[0], devices=[target]) for target in found or targets_of(text)]

    def remote(self, pool: Pool, name: str, login: str) -> Remote:
        source = pool.origin
        words = ["driver=iscsi", "transport=tcp", f"portal={escape(address(source.hosts[0]))}",
                 f"target={escape(pool.device_paths[0])}", f"lun={name.rpartition(':')[2]}"]  # fmt: skip
        words += [f"initiator-name={escape(source.initiator)}"] if source.initiator else []
        if source.auth is None:
            return Remote(tuple(words))
        words += [f"user={escape(source.auth.username or '')}", f"password-secret={login}"]
        return Remote(tuple(words), {login: ("iscsi", source.auth.secret_uuid, source.auth.secret_usage)})

    def names(self, pool: Pool, volume: Volume) -> set[tuple[str, ...]]:
        unit = (volume.name or "").rpartition(":")[2]
        return {remote_place("iscsi", f"{pool.device_paths[0]}/{unit}")}

    def reserve(self, pool: Pool, volume: Volume) -> Script[str]:
        raise Unsupported(MADE_THERE)

    def grow(self, pool: Pool, volume: Volume, size: int) -> Script[None]:
        raise Unsupported(MADE_THERE)

    def remove(self, pool: Pool, volume: Volume) -> Script[None]:
        raise Unsupported(MADE_THERE)


def lun(pool: Pool, unit: int, size: int) -> Volume:
    """A LUN as a volume."""
    target = pool.device_paths[0]
    path = f"ip-{address(pool.origin.hosts[0])}-iscsi-{target}-lun-{unit}"
    return Volume(type="network", name=f"unit:0:0:{unit}", key=path, capacity=size, allocation=size,
                  target=VolumeTarget(path=path))  # fmt: skip
