"""Adapters: found, confined, restarted when they die."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed
from frontinus.daemon import adapters
from frontinus.daemon.adapters import Adapter, Supervisor, confinement, missing
from frontinus.daemon.config import Config, rooted_paths
from frontinus.daemon.main import _folders


def test_an_extra_that_is_not_installed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["lxml>=5", 'no-such-thing>=1; extra == "snmp"', "lxml>=5; extra == 'cim'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: rows)
    assert (missing("snmp"), missing("cim")) == (["no-such-thing"], [])


def test_adapters_lose_every_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setattr(adapters, "_reachable", lambda _: True)
    words = confinement(Config(adapter_user="nobody"))
    assert {"--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--pdeathsig"} <= set(words)
    assert any(word.startswith("--reuid=") and word != "--reuid=0" for word in words)


async def test_a_dying_adapter_is_restarted_and_ends_with_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    (tmp_path / "shortlived.py").write_text(f"open({str(count)!r}, 'a').write('x')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(adapters, "installed", lambda: [Adapter("short", "shortlived")])
    monkeypatch.setattr(adapters, "FIRST_DELAY", 0.02)
    monkeypatch.setattr(Supervisor, "_environment", lambda _: {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"})
    monkeypatch.setattr(adapters, "confinement", lambda *_: [])
    supervisor = Supervisor(Config(paths=rooted_paths(tmp_path)))
    assert supervisor.start() == ["short"]
    async with asyncio.timeout(60):
        while supervisor.restarts.get("short", 0) < 2:  # noqa: ASYNC110 (another process is waited for)
            await asyncio.sleep(0.01)
    await supervisor.stop()
    assert len(count.read_text()) >= 2


def test_only_users_of_speaking_adapters_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    class User:
        pw_uid = 990

    asked: list[str] = []
    monkeypatch.setattr(
        adapters, "find_user", lambda name: asked.append(name) or (User if name.endswith("dbus") else None)
    )
    assert adapters.speakers() == {990}
    assert "frontinus" not in asked and "nobody" not in asked


def test_a_folder_that_another_user_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config(paths=rooted_paths(tmp_path), session=True)
    _folders(config)
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    if os.getuid() == 0:
        os.chown(tmp_path / "run", 4242, -1)
    else:
        monkeypatch.setattr("os.getuid", lambda: 4242)
    with pytest.raises(HostFailed):
        _folders(config)


async def test_an_adapter_that_cannot_be_started_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(adapters, "installed", lambda: [Adapter("none", "none")])
    monkeypatch.setattr(adapters, "FIRST_DELAY", 0.02)
    monkeypatch.setattr(Supervisor, "command", lambda self, adapter: [str(tmp_path / "nothing")])
    supervisor = Supervisor(Config(paths=rooted_paths(tmp_path)))
    supervisor.start()
    async with asyncio.timeout(60):
        while supervisor.restarts.get("none", 0) < 2:  # noqa: ASYNC110 (processes are waited for)
            await asyncio.sleep(0.01)
    await supervisor.stop()
    assert "adapter none could not be started: [Errno 2]" in caplog.text
