"""An engine of mock guests behind a socket, for blocking clients that run beside it in threads and processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from frontinus.api.engine import Engine
from frontinus.daemon.server import Server
from frontinus.domain.host import Paths
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.hypervisor import MockGuest, MockHypervisor


@dataclass
class Monitored:
    """`path` is the monitor socket."""

    local: LocalEngine
    path: Path
    server: Server | None

    @property
    def engine(self) -> Engine:
        return self.local.session(ROOT)

    @property
    def mocks(self) -> dict[str, MockGuest]:
        """The running mock guests by name."""
        hypervisor = self.local.world.hypervisor
        assert isinstance(hypervisor, MockHypervisor)
        return {guest.guest.name: guest for guest in hypervisor.guests.values()}

    def open(self) -> None:
        """Listen again after `close`."""
        self.server = Server(self.path, self.local.session, readonly=True, mode=0o600)

    def close(self) -> None:
        """Throw all clients out, as an engine does that stops."""
        if self.server is not None:
            self.server.close()
            self.server = None


@asynccontextmanager
async def monitored(folder: Path, guests: int = 1) -> AsyncIterator[Monitored]:
    """The fixture's guest `test`, and so many more."""
    local = await mock_engine(Paths(*[str(folder)] * 5), guests=guests)
    path = folder / "ro.sock"
    rig = Monitored(local, path, Server(path, local.session, readonly=True, mode=0o600))
    try:
        yield rig
    finally:
        rig.close()
        await local.stop()
