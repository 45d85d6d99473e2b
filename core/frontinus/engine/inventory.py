"""Questions about the engine itself and its host."""

from __future__ import annotations

import msgspec

from frontinus import __version__
from frontinus.api.errors import FrontinusError, Unsupported
from frontinus.api.views import HostView, VersionView
from frontinus.engine.world import World

API_VERSION = 1


class Inventory:
    """The use cases about what is here."""

    def __init__(self, world: World, access: str = "role") -> None:
        self.world, self._access = world, access

    async def version(self) -> VersionView:
        caps = await self.world.hypervisor.capabilities(None)
        return VersionView(frontinus=__version__, api=API_VERSION, hypervisor=self.world.hypervisor.name,
                           hypervisor_version=caps.version, access=self._access)  # fmt: skip

    async def host(self) -> HostView:
        """With KVM only where a guest gets it: its user may open the device, and QEMU found that it works."""
        view = self.world.host_view()
        return view if not view.kvm or await self._has_kvm() else msgspec.structs.replace(view, kvm=False)

    async def _has_kvm(self) -> bool:
        try:
            return (await self.world.hypervisor.capabilities(None)).kvm
        except FrontinusError:
            return False

    async def capabilities(self) -> str:
        caps = await self.world.hypervisor.capabilities(None)
        return self.world.hypervisor.describe(caps, self.world.host)

    async def domain_capabilities(self, emulator: str | None = None, arch: str | None = None,
                                  machine: str | None = None, virt_type: str | None = None) -> str:  # fmt: skip
        caps = await self.world.hypervisor.capabilities(emulator)
        if arch not in (None, caps.arch):
            raise Unsupported(f"architecture '{arch}' is not one that {caps.emulator} has ({caps.arch})")
        return self.world.hypervisor.describe_guests(caps, self.world.host, machine, virt_type)
