"""Overlays of transient disks: made over an image, removed again, never over another's."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Overlay
from frontinus.linux.overlays import Overlays
from frontinus.linux.setup import Setup

pytestmark = pytest.mark.needs("qemu-img")


def overlay(folder: Path, kind: str = "raw") -> Overlay:
    return Overlay(str(folder / "over"), str(folder / "base"), kind)


def test_an_overlay_is_made_and_removed(tmp_path: Path) -> None:
    (tmp_path / "base").write_bytes(bytes(1 << 20))
    wanted, setup = overlay(tmp_path), Setup(None, str(tmp_path))
    records = Overlays().intend(wanted, setup)
    assert not (tmp_path / "over").exists(), "intending changes nothing"
    Overlays().make(wanted, records, setup)
    seen = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", wanted.path]))
    assert (seen["format"], seen["virtual-size"], seen["backing-filename"]) == ("qcow2", 1 << 20, wanted.backing)
    assert (tmp_path / "over").stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        Overlays().undo(records[0])
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_another_guests_overlay_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "over").write_text("precious")
    with pytest.raises(HostFailed, match="there already"):
        Overlays().intend(overlay(tmp_path), Setup(None, str(tmp_path)))
    with pytest.raises(HostFailed):
        Overlays().make(overlay(tmp_path), [], Setup(None, str(tmp_path)))
    assert (tmp_path / "over").read_text() == "precious"


def test_nothing_is_left_of_an_overlay_that_failed(tmp_path: Path) -> None:
    with pytest.raises(HostFailed, match="base"):
        Overlays().make(overlay(tmp_path), [], Setup(None, str(tmp_path)))
    assert not list(tmp_path.iterdir())
