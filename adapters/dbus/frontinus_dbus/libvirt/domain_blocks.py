"""org.libvirt.Domain: work on the disks of a running guest."""

from __future__ import annotations

import typing
from collections.abc import Mapping

from lxml import etree

from frontinus.api.blockjobs import AbortFlag, BlockJobKind, CommitFlag, CopyFlag
from frontinus.api.errors import InvalidValue, Unsupported
from frontinus_dbus.faults import Flags
from frontinus_dbus.libvirt import parameters
from frontinus_dbus.libvirt.connect import NONE
from frontinus_dbus.libvirt.domain import engine
from frontinus_dbus.libvirt.parameters import Given
from frontinus_dbus.service import Call, Handler

MIB = 2**20
COMMIT = Flags({"shallow": 1, "delete": 2, "active": 4, "relative": 8, "bytes": 16})
COPY = Flags({"shallow": 1, "reuse-external": 2, "transient": 4, "synchronous": 8})
ABORT = Flags({"async": 1, "pivot": 2})
REBASE = Flags({"shallow": 1, "reuse-external": 2, "raw": 4, "copy": 8, "relative": 16, "device": 32, "bytes": 64})
PULL = Flags({"bytes": 64})
SPEED = Flags({"bytes": 1})
KINDS: tuple[BlockJobKind, ...] = typing.get_args(BlockJobKind)
"""libvirt's numbers: the index of each name."""
COPY_PARAMETERS = {"bandwidth": "bandwidth", "granularity": "granularity", "buf-size": "buffer_size"}


def speed(bandwidth: int, given: frozenset[str]) -> int:
    """Bytes a second from MiB, or by flag from bytes."""
    return bandwidth if "bytes" in given else bandwidth * MIB


async def commit(call: Call, disk: str, base: str, top: str, bandwidth: int, flags: int) -> None:
    """Move what some layers hold into the layer below them."""
    given = COMMIT.read(flags)
    target, uuid = await engine(call)
    chosen: list[CommitFlag] = [flag for flag in typing.get_args(CommitFlag) if flag in given]
    await target.block_commit(uuid, disk, base or None, top or None, speed(bandwidth, given), chosen)


async def copy(call: Call, disk: str, text: str, given: Given, flags: int) -> None:
    """Mirror a disk to another place; bandwidth in bytes a second."""
    wanted = COPY.read(flags)
    values = {}
    for name, value in given.items():
        if name not in COPY_PARAMETERS:
            raise InvalidValue(f"parameter '{name[:60]}' is not supported", field=name[:60])
        values[COPY_PARAMETERS[name]] = parameters.whole(name, value)
    target, uuid = await engine(call)
    chosen: list[CopyFlag] = [flag for flag in typing.get_args(CopyFlag) if flag in wanted]
    await target.block_copy(uuid, disk, text, flags=chosen, **values)


async def pull(call: Call, disk: str, bandwidth: int, flags: int) -> None:
    """Take into the disk all that the layers below hold."""
    given = PULL.read(flags)
    target, uuid = await engine(call)
    await target.block_pull(uuid, disk, None, speed(bandwidth, given))


async def rebase(call: Call, disk: str, base: str, bandwidth: int, flags: int) -> None:
    """Take into the disk what the layers above a base hold; by flag (8) copy the disk to a file instead."""
    given = REBASE.read(flags)
    target, uuid = await engine(call)
    if "copy" not in given:
        await target.block_pull(uuid, disk, base or None, speed(bandwidth, given), "relative" in given)
        return
    if "relative" in given:
        raise Unsupported("a copy has no layers that could be relative")
    chosen: list[CopyFlag] = [flag for flag in typing.get_args(CopyFlag) if flag in given]
    await target.block_copy(uuid, disk, destination(base, given), speed(bandwidth, given), flags=chosen)


def destination(place: str, given: frozenset[str]) -> str:
    """The <disk> that a copy goes to."""
    kind, attribute = ("block", "dev") if "device" in given else ("file", "file")
    disk = etree.Element("disk", {"type": kind})
    etree.SubElement(disk, "source", {attribute: place})
    if "raw" in given:
        etree.SubElement(disk, "driver", {"type": "raw"})
    return etree.tostring(disk, encoding="unicode")


async def abort(call: Call, disk: str, flags: int) -> None:
    """End a disk's job, by flag (2) going over to the copy."""
    given = ABORT.read(flags)
    target, uuid = await engine(call)
    chosen: list[AbortFlag] = [flag for flag in typing.get_args(AbortFlag) if flag in given]
    await target.abort_block_job(uuid, disk, chosen)


async def set_speed(call: Call, disk: str, bandwidth: int, flags: int) -> None:
    """Limit a disk's job, in MiB a second or by flag in bytes."""
    given = SPEED.read(flags)
    target, uuid = await engine(call)
    await target.set_block_job_speed(uuid, disk, speed(bandwidth, given))


async def info(call: Call, disk: str, flags: int) -> list[int]:
    """A disk's job: type, bandwidth, where it is and its end; all 0 without one."""
    given = SPEED.read(flags)
    target, uuid = await engine(call)
    job = await target.block_job(uuid, disk)
    if job is None:
        return [0, 0, 0, 0]
    bandwidth = job.bandwidth if "bytes" in given else job.bandwidth // MIB
    return [KINDS.index(job.kind), bandwidth, job.current, job.end]


async def threshold(call: Call, device: str, size: int, flags: int) -> None:
    """Tell by BlockThreshold when a layer is written beyond so many bytes."""
    NONE.read(flags)
    target, uuid = await engine(call)
    await target.set_block_threshold(uuid, device, size)


METHODS: Mapping[str, Handler] = {
    "BlockCommit": commit, "BlockCopy": copy, "BlockJobAbort": abort, "BlockJobSetSpeed": set_speed, "BlockPull": pull,
    "BlockRebase": rebase, "GetBlockJobInfo": info, "SetBlockThreshold": threshold,
}  # fmt: skip
