"""Looking into a guest on the mock hypervisor: dumps, memory, displays, saved states, what its agent does."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontinus.api.agent import GuestFilesystem, GuestTime, GuestVcpus
from frontinus.api.engine import Engine
from frontinus.api.errors import (
    AgentUnavailable,
    InvalidValue,
    NoSuchDevice,
    StorageFailed,
    Unsupported,
)
from frontinus.api.inspection import ControlInfo, DiskError
from frontinus.engine.local import LocalEngine
from support.mocked import mock_guest
from support.tuned_guest import XML, started

MIB = 2**20


@pytest.fixture
async def engine(local: LocalEngine, tmp_path: Path) -> Engine:
    return await started(local, tmp_path)


async def test_dumps(local: LocalEngine, engine: Engine, tmp_path: Path) -> None:
    target = tmp_path / "core"
    await engine.core_dump("g", str(target), memory_only=True)
    assert target.read_bytes().startswith(b"\x7fELF") and target.stat().st_mode & 0o777 == 0o600
    assert (await engine.guest("g")).reason == "unpaused"
    assert [(job.kind, job.state) for job in await engine.jobs("g")][-1] == ("dump", "completed")
    await engine.core_dump("g", str(tmp_path / "stream"))
    assert (await engine.guest("g")).state == "running"
    for wrong in ({"format": "win-dmp"}, {"memory_only": True, "live": True, "crash": True}, {"path": "here"}):
        with pytest.raises(InvalidValue):
            await engine.core_dump("g", **{"path": str(target), **wrong})  # type: ignore[arg-type]
    with pytest.raises(StorageFailed):
        await engine.core_dump("g", str(tmp_path / "absent/core"), memory_only=True)
    assert (await engine.guest("g")).state == "running"
    await engine.core_dump("g", str(target), memory_only=True, crash=True)
    assert (await engine.guest("g")).reason == "crashed"


async def test_a_failed_dump_leaves_no_file_and_the_guest_running(
    local: LocalEngine, engine: Engine, tmp_path: Path
) -> None:
    async def fail(*_: object) -> None:
        raise Unsupported("no such format")

    mock_guest(local, "g").dump = fail  # type: ignore[method-assign]
    with pytest.raises(Unsupported):
        await engine.core_dump("g", str(tmp_path / "core"), memory_only=True)
    assert not (tmp_path / "core").exists() and (await engine.guest("g")).state == "running"


async def test_looks(local: LocalEngine, engine: Engine, tmp_path: Path) -> None:
    assert await engine.memory_peek("g", 0x1000, 16, physical=True) == bytes(16)
    assert await engine.block_peek("g", "vda", 254, 4) == bytes([254, 255, 0, 1])
    with pytest.raises(InvalidValue, match="ends before"):
        await engine.block_peek("g", "vda", 1020, 100)
    with pytest.raises(InvalidValue):
        await engine.memory_peek("g", 0, 5 * MIB)
    await engine.define(XML.format(disk=tmp_path / "disk", format="qcow2").replace("<name>g", "<name>q"))
    with pytest.raises(Unsupported):
        await engine.block_peek("q", "vda", 0, 4)
    assert await engine.disk_errors("g") == []
    mock_guest(local, "g").faults = {"virtio-disk0": "no space"}
    assert await engine.disk_errors("g") == [DiskError(disk="vda", error="no space")]


async def test_the_state_of_control(local: LocalEngine, engine: Engine) -> None:
    assert await engine.control_info("g") == ControlInfo(state="ok")
    async with local.world.guests.find("g").lock.hold("a test"):
        assert (await engine.control_info("g")).state == "job"
    assert [label.model for label in await engine.security_labels("g")] == ["dac"]


async def test_a_display_is_opened(engine: Engine) -> None:
    import os

    fd = await engine.open_graphics("g")
    try:
        assert os.read(fd, 12) == b"RFB 003.008\n"
    finally:
        os.close(fd)
    with pytest.raises(NoSuchDevice):
        await engine.open_graphics("g", 1)


async def test_a_saved_state_is_redefined(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "saved"
    await engine.save("g", str(file))
    stream = file.read_bytes().rpartition(b"mock state")[1]
    xml = await engine.saved_xml(str(file))
    await engine.redefine_saved(str(file), xml.replace("</name>", "</name><title>told anew</title>"), paused=True)
    assert "told anew" in await engine.saved_xml(str(file)) and file.read_bytes().endswith(stream)
    assert [entry.name for entry in tmp_path.iterdir() if "saved" in entry.name] == ["saved"]
    assert (await engine.restore(str(file))).state == "paused"


ANSWERS = {
    "guest-get-host-name": '{"host-name": "web1"}', "guest-get-time": "1700000000123456789", "guest-set-time": "{}",
    "guest-get-vcpus": '[{"logical-id": 0, "online": true}, {"logical-id": 1, "online": true, "can-offline": true}]',
    "guest-set-vcpus": "1", "guest-fsfreeze-freeze": "2", "guest-fsfreeze-freeze-list": "1", "guest-fsfreeze-thaw": "2",
    "guest-fstrim": "{}", "guest-get-users": '[{"user": "ann", "login-time": 5.5}]', "guest-set-user-password": "{}",
    "guest-get-osinfo": '{"id": "debian", "kernel-release": "6.1"}', "guest-get-timezone": '{"zone": "UTC", "offset": 0}',
    "guest-get-fsinfo": '[{"name": "vda1", "mountpoint": "/", "type": "ext4", "used-bytes": 5, "total-bytes": 9, "disk":'
                        ' [{"bus-type": "virtio", "bus": 0, "unit": 0, "target": 0, "pci-controller":'
                        ' {"domain": 0, "bus": %d, "slot": %d, "function": 0}}]}]',
}  # fmt: skip


async def test_the_agents_calls(local: LocalEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    asked: list[dict[str, object]] = []
    disk = local.world.guests.find("g").need_running().guest.devices.disks[0]

    async def answer(command: str, deadline: float) -> str:
        given = json.loads(command)
        asked.append(given)
        text = ANSWERS[given["execute"]]
        if "%d" in text:
            text = text % (disk.address.bus, disk.address.slot)  # type: ignore[union-attr]
        return f'{{"return": {text}}}'

    monkeypatch.setattr(mock_guest(local, "g"), "agent_command", answer)
    assert await engine.guest_hostname("g") == "web1"
    assert await engine.guest_time("g") == GuestTime(seconds=1700000000, nanoseconds=123456789)
    await engine.set_guest_time("g", 5, 6)
    assert asked[-1]["arguments"] == {"time": 5_000_000_006}
    await engine.set_guest_time("g", sync=True)
    assert asked[-1]["arguments"] == {}
    assert await engine.guest_vcpus("g") == GuestVcpus(vcpus=(0, 1), online=(0, 1), offlinable=(1,))
    await engine.set_guest_vcpus("g", [1], False)
    assert asked[-1]["arguments"] == {"vcpus": [{"logical-id": 1, "online": False}]}
    for wrong in ([0], [7], []):
        with pytest.raises(InvalidValue):
            await engine.set_guest_vcpus("g", wrong, False)
    assert (await engine.freeze("g"), await engine.freeze("g", ["/"]), await engine.thaw("g")) == (2, 1, 2)
    await engine.trim("g", 4096)
    assert asked[-1]["arguments"] == {"minimum": 4096}
    assert [user.name for user in await engine.guest_users("g")] == ["ann"]
    await engine.set_user_password("g", "ann", "secret")
    assert asked[-1]["arguments"] == {"username": "ann", "password": "c2VjcmV0", "crypted": False}
    assert (await engine.guest_os("g")).kernel_release == "6.1" and (await engine.guest_zone("g")).name == "UTC"
    assert await engine.guest_filesystems("g") == [
        GuestFilesystem(mountpoint="/", name="vda1", type="ext4", disks=("vda",), total=9, used=5)]  # fmt: skip


async def test_without_an_agent(engine: Engine) -> None:
    with pytest.raises(AgentUnavailable):
        await engine.guest_hostname("g")
