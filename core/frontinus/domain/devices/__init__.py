"""The <devices> of a guest, one file a device."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.domain.devices.audio import Audio
from frontinus.domain.devices.base import Device
from frontinus.domain.devices.block.disk import Disk
from frontinus.domain.devices.character import Channel, Console, Parallel, Serial
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.crypto import Crypto
from frontinus.domain.devices.filesystem import Filesystem
from frontinus.domain.devices.graphics import Graphics
from frontinus.domain.devices.hostdev import HOSTDEVS, Hostdev
from frontinus.domain.devices.hub import Hub
from frontinus.domain.devices.input import Input
from frontinus.domain.devices.interface import Interface
from frontinus.domain.devices.iommu import Iommu
from frontinus.domain.devices.lease import Lease
from frontinus.domain.devices.memballoon import Memballoon
from frontinus.domain.devices.memory import MemoryDevice
from frontinus.domain.devices.nvram import Nvram
from frontinus.domain.devices.panic import Panic
from frontinus.domain.devices.pstore import Pstore
from frontinus.domain.devices.redirdev import Redirdev, RedirFilter
from frontinus.domain.devices.rng import Rng
from frontinus.domain.devices.shmem import Shmem
from frontinus.domain.devices.smartcard import SMARTCARDS, Smartcard
from frontinus.domain.devices.sound import Sound
from frontinus.domain.devices.tpm import Tpm
from frontinus.domain.devices.video import Video
from frontinus.domain.devices.vsock import Vsock
from frontinus.domain.devices.watchdog import Watchdog
from frontinus.xml import Model, many, one, xml


class Devices(Model, tag="devices"):
    """All devices in canonical order."""

    emulator: str | None = xml("emulator")
    disks: list[Disk] = many("disk", Disk)
    controllers: list[Controller] = many("controller", Controller)
    leases: list[Lease] = many("lease", Lease)
    filesystems: list[Filesystem] = many("filesystem", Filesystem)
    interfaces: list[Interface] = many("interface", Interface)
    smartcards: list[Smartcard] = many("smartcard", SMARTCARDS)
    serials: list[Serial] = many("serial", Serial)
    parallels: list[Parallel] = many("parallel", Parallel)
    consoles: list[Console] = many("console", Console)
    channels: list[Channel] = many("channel", Channel)
    inputs: list[Input] = many("input", Input)
    tpms: list[Tpm] = many("tpm", Tpm)
    graphics: list[Graphics] = many("graphics", Graphics)
    sounds: list[Sound] = many("sound", Sound)
    audios: list[Audio] = many("audio", Audio)
    videos: list[Video] = many("video", Video)
    hostdevs: list[Hostdev] = many("hostdev", HOSTDEVS)
    redirdevs: list[Redirdev] = many("redirdev", Redirdev)
    redirfilter: RedirFilter | None = one("redirfilter", RedirFilter)
    hubs: list[Hub] = many("hub", Hub)
    watchdogs: list[Watchdog] = many("watchdog", Watchdog)
    memballoon: Memballoon | None = one("memballoon", Memballoon)
    rngs: list[Rng] = many("rng", Rng)
    nvram: Nvram | None = one("nvram", Nvram)
    shmems: list[Shmem] = many("shmem", Shmem)
    memories: list[MemoryDevice] = many("memory", MemoryDevice)
    panics: list[Panic] = many("panic", Panic)
    iommu: Iommu | None = one("iommu", Iommu)
    vsock: Vsock | None = one("vsock", Vsock)
    cryptos: list[Crypto] = many("crypto", Crypto)
    pstore: Pstore | None = one("pstore", Pstore)

    def all(self) -> Iterator[Device]:
        """Every device, in canonical order."""
        for model in self.models():
            if isinstance(model, Device):
                yield model
