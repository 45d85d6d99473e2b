"""What QEMU tells some moments before it is so: a device that is gone, a state that is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from frontinus.api.errors import HypervisorFailed
from frontinus.domain.plan import DevicePlan, Step
from frontinus.domain.qapi import Schema
from frontinus.qemu import migration, plugging
from support.monitor_peer import ok, said, session

PLAN = DevicePlan("fs0", (), (
    Step("chardev-add", {"id": "char0"}, ("chardev-remove", {"id": "char0"})),
    Step("object-add", {"id": "mem0"}, ("object-del", {"id": "mem0"})),
    Step("device_add", {"id": "fs0"}, ("device_del", {"id": "fs0"})),
))  # fmt: skip

GONE = said(b'{"return": {}, "id": ID}\r\n{"event": "DEVICE_DELETED", "data": {"device": "fs0"}}')


def refusing(times: int, words: str) -> Callable[[dict[str, object]], bytes]:
    """So many refusals, then it is done."""
    left = [
        said(json.dumps({"error": {"class": "GenericError", "desc": words}, "id": "ID"}).replace('"ID"', "ID").encode())
    ] * times
    return lambda command: (left.pop() if left else ok({}))(command)


async def test_what_is_behind_a_device_goes_when_its_last_reference_is_gone() -> None:
    async with session() as s:
        s.peer.answers["device_del"] = said(
            b'{"return": {}, "id": ID}\r\n{"event": "DEVICE_DELETED", "data": {"device": "fs0"}}'
        )
        s.peer.answers["object-del"] = refusing(3, "object 'mem0' is in use, can not be deleted")
        s.peer.answers["chardev-remove"] = refusing(2, "Chardev 'char0' is busy")
        assert await plugging.unplug(s.monitor, PLAN, 60)
        asked = [command["execute"] for command in s.peer.got[1:]]
        assert asked == ["device_del", *["object-del"] * 4, *["chardev-remove"] * 3]


async def test_what_stays_in_use_is_waited_for_once_for_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plugging, "LET_GO_SECONDS", 0.2)
    async with session() as s:
        s.peer.answers["device_del"] = GONE
        for command in ("object-del", "chardev-remove"):
            s.peer.answers[command] = refusing(999, "it is in use")
        assert await plugging.unplug(s.monitor, PLAN, 60)
        asked = [command["execute"] for command in s.peer.got]
        assert asked.count("object-del") > 1 and asked.count("chardev-remove") == 1
        assert caplog.text.count("could not be undone: it is in use") == 2


async def test_a_tray_that_the_guest_closes_is_opened_again() -> None:
    opened = ("blockdev-open-tray", {"id": "cd", "force": True})
    change = DevicePlan("cd", (), (Step("blockdev-remove-medium", {"id": "cd"}, first=opened),))
    async with session() as s:
        s.peer.answers["blockdev-remove-medium"] = refusing(2, "Tray of device 'cd' is not open")
        await plugging.plug(s.monitor, change, {})
        assert [command["execute"] for command in s.peer.got[1:]] == [
            "blockdev-open-tray",
            "blockdev-remove-medium",
        ] * 3
        s.peer.answers["blockdev-remove-medium"] = refusing(999, "it is stuck")
        with pytest.raises(HypervisorFailed, match="it is stuck"):
            await plugging.plug(s.monitor, change, {})


async def test_what_cannot_be_removed_for_another_reason_is_not_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    async with session() as s:
        s.peer.answers["device_del"] = said(
            b'{"return": {}, "id": ID}\r\n{"event": "DEVICE_DELETED", "data": {"device": "fs0"}}'
        )
        s.peer.answers["object-del"] = refusing(9, "object 'mem0' not found")
        assert await plugging.unplug(s.monitor, PLAN, 60)
        assert [command["execute"] for command in s.peer.got].count("object-del") == 1
        assert "object-add could not be undone: object 'mem0' not found" in caplog.text


@pytest.mark.parametrize("end", ["completed", "failed"])
async def test_a_written_state_is_written_when_the_guest_can_run_on(end: str) -> None:
    async with session() as s:
        states = ["finish-migrate", "finish-migrate", "postmigrate"]
        told = json.dumps({"event": "MIGRATION", "data": {"status": end}}).encode()
        s.peer.answers["migrate"] = said(b'{"return": {}, "id": ID}\r\n' + told)
        s.peer.answers["query-status"] = lambda command: ok({"status": states.pop(0)})(command)
        s.peer.answers["query-migrate"] = ok({"status": end, "error-desc": "no space"})
        reading, writing = os.pipe()
        try:
            if end == "completed":
                await migration.save(s.monitor, writing, Schema({}))
            else:
                with pytest.raises(HypervisorFailed, match="no space"):
                    await migration.save(s.monitor, writing, Schema({}))
        finally:
            os.close(reading)
            os.close(writing)
        assert states == []
