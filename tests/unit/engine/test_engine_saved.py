"""Saved states of guests, on the mock hypervisor."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import (
    InvalidXML,
    WrongState,
)
from frontinus.api.events import ChangedEvent, LifecycleEvent
from support.mocked import XML


async def test_managed_save_and_restore(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")
    view = await engine.guest("a")
    assert (view.state, view.reason, view.managed_save) == ("shutoff", "saved", True)
    with pytest.raises(WrongState):
        await engine.undefine("a")
    view = await engine.start("a")
    assert (view.state, view.reason, view.managed_save) == ("running", "restored", False)


async def test_who_watches_hears_that_a_saved_state_is_used_up(engine: Engine) -> None:
    await engine.define(XML.format(name="a"))
    await engine.start("a")
    await engine.managed_save("a")
    stream = engine.watch()
    await anext(stream)
    view = await engine.start("a")
    async with asyncio.timeout(60):
        async for item in stream:
            if isinstance(item, LifecycleEvent | ChangedEvent) and item.guest == view:
                break
    await stream.aclose()  # type: ignore[attr-defined]


async def test_save_and_restore_a_transient_guest(engine: Engine, tmp_path: Path) -> None:
    await engine.create(XML.format(name="a"))
    file = str(tmp_path / "a.save")
    await engine.save("a", file)
    assert await engine.guests() == []
    assert "<name>a</name>" in await engine.saved_xml(file)
    assert (await engine.restore(file, paused=True)).state == "paused"
    await engine.destroy("a")


async def test_a_saved_guest_is_restored_with_a_definition_of_the_same_hardware(engine: Engine, tmp_path: Path) -> None:
    await engine.create(XML.format(name="a"))
    text, file = await engine.guest_xml("a"), str(tmp_path / "a.save")
    larger = text.replace("65536</memory>", "131072</memory>")
    named = text.replace("</name>", "</name><title>By another description</title>")
    assert text not in (larger, named)
    with pytest.raises(InvalidXML, match="<memory>: .* became"):
        await engine.save("a", file, xml=larger)
    assert (await engine.guest("a")).state == "running"
    await engine.save("a", file, xml=named)
    assert "By another" in await engine.saved_xml(file)
    with pytest.raises(InvalidXML, match="<memory>: .* became"):
        await engine.restore(file, xml=larger)
    assert await engine.guests() == []
    await engine.restore(file, xml=text)
    assert "By another" not in await engine.guest_xml("a")
    await engine.destroy("a")
