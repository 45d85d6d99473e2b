"""The storage contract on the mock; and what only a mock can show: kinds of pools on the recorded output of tools."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from contract.storage_contract import NamesContract, StorageContract, put, take, volume
from frontinus.api.engine import Engine
from frontinus.api.errors import InternalError, WrongState
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT, mock_engine
from frontinus.mock.storage import MemoryStorage

GUEST = """<domain type='qemu'><name>g</name><memory>65536</memory><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices>{}</devices></domain>"""
POOL = "<pool type='dir'><name>p</name><target><path>/p</path></target></pool>"


@dataclass
class MockRig:
    engine: LocalEngine
    session: Engine
    storage: MemoryStorage

    def names(self) -> list[str]:
        return sorted(path[3:] for path in self.storage.entries if path.startswith("/p/"))


class TestMock(NamesContract, StorageContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[MockRig]:
        engine = await mock_engine(fixture=False)
        storage = engine.world.storage
        assert isinstance(storage, MemoryStorage)
        session = engine.session(ROOT)
        await session.define_pool(POOL)
        await session.start_pool("p", build=[])
        yield MockRig(engine, session, storage)
        await engine.stop()

    async def test_what_fails_as_nobody_thought_leaves_nothing(
        self, rig: MockRig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def surprised(step: object) -> None:
            raise OverflowError("a surprise")

        monkeypatch.setattr(rig.storage, "_settle", surprised)
        with pytest.raises(InternalError):
            await rig.session.create_volume("p", volume("a"))
        assert rig.names() == []

    async def test_an_upload_takes_no_place_that_a_guest_has_open_by_then(self, rig: MockRig) -> None:
        await rig.session.create_volume("p", volume("a"))
        uploading = await rig.session.upload_volume("p", "a")
        disk = "<disk type='file' device='disk'><source file='/p/a'/><target dev='vda' bus='virtio'/></disk>"
        await rig.session.define(GUEST.format(disk))
        await rig.session.start("g")
        assert await put(uploading, b"late") == b""
        assert any("used by the running guest" in (job.error or "") for job in await rig.session.jobs())
        assert rig.names() == ["a"] and await take(await rig.session.download_volume("p", "a", length=4)) == bytes(4)

    async def test_what_a_running_guest_has_open_is_not_changed(self, rig: MockRig) -> None:
        session = rig.session
        await session.create_volume("p", volume("a"))
        await session.create_volume("p", volume("b"))
        disks = ("<disk type='volume' device='disk'><source pool='p' volume='a'/><target dev='vda' bus='virtio'/></disk>"
                 "<disk type='file' device='disk'><source file='/p/b'/><target dev='vdb' bus='virtio'/></disk>")  # fmt: skip
        await session.define(GUEST.format(disks))
        await session.start("g")
        for name in ("a", "b"):
            for call in (session.delete_volume("p", name), session.wipe_volume("p", name), session.upload_volume("p", name),
                         session.resize_volume("p", name, 2**30)):  # fmt: skip
                with pytest.raises(WrongState, match="used by the running guest 'g'"):
                    await call
        await session.destroy("g")
        await session.delete_volume("p", "a")
