"""The <filesystem> device: a folder of the host in the guest, by 9p or virtiofs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device, VirtioOptions
from frontinus.domain.devices.rules import VIRTIO_MODELS, lacks, placed, shared_memory, virtio_options
from frontinus.domain.reasons import Lacking
from frontinus.xml import Flag, Model, Size, many, xml
from frontinus.xml.codecs import Codec, Int, OnOff, Signed, UInt32, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

DEFAULT = "default"
"""A word that says what leaving the attribute out says."""
LONGEST_TAG = {False: 31, True: 36}
"""Bytes of the name by which the guest mounts a folder: of 9p, and of virtiofs."""
LONGEST_QUEUE = 1024
"""Requests: QEMU's VIRTQUEUE_MAX_SIZE."""
DRIVERS = ("path", "handle", "loop", "nbd", "ploop", "virtiofs", "mtp")


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{1,3}", text):
        raise ValueError(f"'{text[:20]}' is not a mode from 0 to 0777")
    return int(text, 8)


Mode: Codec[int] = Codec(_mode, lambda value: f"{value:04o}")


class IdRange(Model):
    """Ids of the guest from `start`, as those of the host from `target`."""

    start: int = xml("@start", UInt32, required=True)
    target: int = xml("@target", UInt32, required=True)
    count: int = xml("@count", UInt32, required=True)


class Filesystem(Device, VirtioOptions, tag="filesystem"):
    """A <filesystem> element. Limits are bytes. With `socket`, virtiofsd is run by somebody else."""

    type: str = xml("@type", one_of("mount", "file", "block", "template", "ram", "bind", "volume"), default="mount")
    access_mode: str | None = xml("@accessmode", one_of("passthrough", "mapped", "squash", DEFAULT))
    model: str | None = xml("@model", one_of(*VIRTIO_MODELS))
    multidevs: str | None = xml("@multidevs", one_of("remap", "forbid", "warn", DEFAULT))
    file_mode: int | None = xml("@fmode", Mode)
    folder_mode: int | None = xml("@dmode", Mode)
    driver: str | None = xml("driver/@type", one_of(*DRIVERS, DEFAULT))
    format: str | None = xml("driver/@format")
    write_policy: str | None = xml("driver/@wrpolicy", one_of("immediate", DEFAULT))
    queue: int | None = xml("driver/@queue", Int)
    binary: str | None = xml("binary/@path")
    xattr: bool | None = xml("binary/@xattr", OnOff)
    cache: str | None = xml("binary/cache/@mode", one_of("none", "always"))
    sandbox: str | None = xml("binary/sandbox/@mode", one_of("namespace", "chroot"))
    posix_lock: bool | None = xml("binary/lock/@posix", OnOff)
    flock: bool | None = xml("binary/lock/@flock", OnOff)
    thread_pool: int | None = xml("binary/thread_pool/@size", Signed)
    open_files: int | None = xml("binary/openfiles/@max", Int)
    source: str | None = xml("source/@dir")
    source_file: str | None = xml("source/@file")
    source_dev: str | None = xml("source/@dev")
    source_name: str | None = xml("source/@name")
    pool: str | None = xml("source/@pool")
    volume: str | None = xml("source/@volume")
    usage: str | None = xml("source/@usage")
    units: str | None = xml("source/@units")
    socket: str | None = xml("source/@socket")
    target: str | None = xml("target/@dir")
    uids: list[IdRange] = many("idmap/uid", IdRange)
    gids: list[IdRange] = many("idmap/gid", IdRange)
    readonly: bool = xml("readonly", Flag)
    hard_limit: int | None = xml("space_hard_limit", Size("bytes"))
    soft_limit: int | None = xml("space_soft_limit", Size("bytes"))

    @property
    def is_virtiofs(self) -> bool:
        return self.driver == "virtiofs"

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        for field in ("access_mode", "multidevs", "driver", "write_policy"):
            if getattr(self, field) == DEFAULT:
                setattr(self, field, None)
        if self.access_mode is None and self.socket is None:
            self.access_mode = "passthrough"
        for field in ("file_mode", "folder_mode", "queue", "hard_limit", "soft_limit"):
            setattr(self, field, getattr(self, field) or None)
        if self.thread_pool is not None and self.thread_pool < 0:
            self.thread_pool = None
        if self.driver is None:
            self.format = self.write_policy = None
        if not self.is_virtiofs:
            self.queue = self.binary = self.xattr = self.cache = self.sandbox = None
            self.posix_lock = self.flock = self.thread_pool = self.open_files = None
        if self.socket is not None:
            self.source = None

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.type != "mount":
            yield f"<filesystem>: type '{self.type}' is not of this hypervisor, only 'mount'"
            return
        if not self.source and not self.socket:
            yield "<filesystem>: <source> needs a directory or a socket"
        if not self.target:
            yield "<filesystem>: <target> is missing"
        elif len(self.target.encode()) > LONGEST_TAG[self.is_virtiofs]:
            yield f"<filesystem>: the target has more than {LONGEST_TAG[self.is_virtiofs]} bytes"
        if self.driver not in (None, "path", "virtiofs"):
            yield Lacking(f"<filesystem>: driver '{self.driver}' is not supported by this QEMU")
        yield from placed("<filesystem>", self.address, "pci", "virtio-mmio")
        yield from virtio_options(self, caps)
        yield from self._check_virtiofs(guest, caps) if self.is_virtiofs else self._check_9p(caps)

    def _check_9p(self, caps: Capabilities) -> Iterator[str]:
        if self.socket:
            yield "<filesystem>: a socket is for driver 'virtiofs'"
        if (self.file_mode or self.folder_mode) and self.access_mode != "mapped":
            yield "<filesystem>: 'fmode' and 'dmode' need accessmode 'mapped'"
        if self.multidevs is not None and not caps.has_option("fsdev", "multidevs"):
            yield Lacking("<filesystem>: 'multidevs' is not supported by this QEMU")
        if self.boot_order is not None:
            yield "<filesystem>: booting is possible from driver 'virtiofs' alone"
        if self.uids or self.gids:
            yield "<filesystem>: <idmap> is for driver 'virtiofs'"

    def _check_virtiofs(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if not caps.has_type("vhost-user-fs-device"):
            yield Lacking("<filesystem>: driver 'virtiofs' is not supported by this QEMU")
        foreign = {
            "model": self.model, "multidevs": self.multidevs, "fmode": self.file_mode, "dmode": self.folder_mode,
            "format": self.format,
        }  # fmt: skip
        if self.socket is None:
            foreign |= {"wrpolicy": self.write_policy}
            if self.access_mode != "passthrough":
                yield "<filesystem>: driver 'virtiofs' has accessmode 'passthrough' alone"
        for name, value in foreign.items():
            if value is not None:
                yield f"<filesystem>: driver 'virtiofs' has no '{name}'"
        if self.queue and (self.queue > LONGEST_QUEUE or self.queue & (self.queue - 1)):
            yield f"<driver queue='{self.queue}'>: a power of two up to {LONGEST_QUEUE}"
        if self.boot_order is not None and lacks(caps, "vhost-user-fs-device", "bootindex"):
            yield Lacking("<filesystem>: booting from driver 'virtiofs' is not supported by this QEMU")
        same = [fs for fs in guest.devices.filesystems if fs.is_virtiofs and fs.target == self.target]
        if len(same) > 1 and same[0] is self:
            yield f"<filesystem>: target '{self.target}' is used twice"
        yield from shared_memory(guest, caps, "<filesystem> with driver 'virtiofs'")
