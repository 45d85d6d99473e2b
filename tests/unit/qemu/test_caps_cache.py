from __future__ import annotations

import os
from pathlib import Path

import pytest

from frontinus.qemu.caps import cache, probe, replies
from frontinus.qemu.caps.user import probe_user
from recordings import BASE, recording


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count probes instead of making them."""
    made: list[str] = []

    def fake(emulator: str, who: object) -> bytes:
        made.append(emulator)
        return b'{"execute": "qmp_capabilities", "id": "1"}\n{"return": {}, "id": "1"}\n'

    monkeypatch.setattr(probe, "probe", fake)
    return made


@pytest.fixture
def emulator(tmp_path: Path) -> Path:
    binary = tmp_path / "qemu"
    binary.write_text("one")
    return binary


def test_probed_once(tmp_path: Path, emulator: Path, probes: list[str]) -> None:
    first = cache.recording(str(emulator), tmp_path / "cache")
    assert cache.recording(str(emulator), tmp_path / "cache") == first
    assert probes == [str(emulator)]


def test_probed_again_when_the_binary_changes(tmp_path: Path, emulator: Path, probes: list[str]) -> None:
    cache.recording(str(emulator), tmp_path / "cache")
    status = emulator.stat()
    emulator.write_text("two")
    os.utime(emulator, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    cache.recording(str(emulator), tmp_path / "cache")
    assert len(probes) == 2


def test_probed_again_when_a_module_arrives(
    tmp_path: Path, emulator: Path, probes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tmp_path / "modules"
    monkeypatch.setattr(cache, "MODULES", (str(modules),))
    cache.recording(str(emulator), tmp_path / "cache")
    modules.mkdir()
    cache.recording(str(emulator), tmp_path / "cache")
    (modules / "ui-spice.so").touch()
    os.utime(modules, ns=(1, 1))
    cache.recording(str(emulator), tmp_path / "cache")
    assert len(probes) == 3


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_torn_file_is_probed_again(tmp_path: Path, emulator: Path, probes: list[str], kept: int) -> None:
    whole = cache.recording(str(emulator), tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(whole[:kept])
    assert cache.recording(str(emulator), tmp_path / "cache") == whole
    assert len(probes) == 2 and file.read_bytes() == whole


def test_no_cache_is_no_harm(tmp_path: Path, emulator: Path, probes: list[str]) -> None:
    (tmp_path / "file").touch()
    assert cache.recording(str(emulator), tmp_path / "file" / "cache")
    assert cache.recording(str(emulator), tmp_path / "file" / "cache")
    assert len(probes) == 2


def test_another_user_has_another_probe(tmp_path: Path, emulator: Path, probes: list[str]) -> None:
    from frontinus.ports.resources import Credentials

    cache.recording(str(emulator), tmp_path, Credentials(1, 1))
    cache.recording(str(emulator), tmp_path, Credentials(1, 1, (5,)))
    assert len(probes) == 2


@pytest.mark.skipif(os.getuid() != 0, reason="decided for root")
def test_root_probes_as_nobody() -> None:
    user = probe_user()
    assert user is not None and user.uid == 65534 and 0 not in user.groups


def test_cached_recording_is_a_recording(tmp_path: Path, emulator: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of the cache can be handed to --capabilities as it is."""
    monkeypatch.setattr(probe, "probe", lambda emulator, who: recording(BASE))
    cache.recording(str(emulator), tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    assert replies.load_replies(str(file)).version == (9, 1, 2)
