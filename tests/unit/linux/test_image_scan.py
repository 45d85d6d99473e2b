"""The scan of a folder looks again at what changed, and at nothing else; whatever may have changed unseen counts as changed."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from frontinus.api.errors import StorageFailed
from frontinus.linux.storage import images
from frontinus.storage.pools.files import FileVolumes
from frontinus.storage.steps import Found, Inspect, Scan

HEADER = struct.pack(">4sIQIIQI", b"QFI\xfb", 3, 0, 0, 16, 2**20, 0) + bytes(600)
LONG_AGO = 10**9


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Some images in a folder whose file system marks each write, whatever it is. All of them settled."""
    status = tmp_path.stat()
    monkeypatch.setattr(images, "_marking_device", lambda folder: status.st_dev)
    monkeypatch.setattr(images, "SETTLED_NS", -(10**15))
    for name in "abc":
        (tmp_path / name).write_bytes(HEADER)
    return tmp_path


def scan(folder: Path, known: Mapping[str, Found] | None = None) -> Mapping[str, Found]:
    return images.scan(Scan(str(folder), known or {}))


def test_what_did_not_change_is_not_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scan(folder)
    assert [(name, one.header.format) for name, one in first.items()] == [(name, "qcow2") for name in "abc"]
    monkeypatch.setattr(images, "_open", lambda path, flags: pytest.fail("opened"))
    assert scan(folder, first) is first


def test_one_that_changed_is_looked_at_and_the_others_are_kept(folder: Path) -> None:
    first = scan(folder)
    (folder / "b").write_bytes(b"LUKS\xba\xbe\0\1" + bytes(600))
    (folder / "c").unlink()
    (folder / "0").write_bytes(HEADER)
    second = scan(folder, first)
    assert list(second) == ["0", "a", "b"]
    assert second["a"] is first["a"]
    assert second["b"].header.format == "luks"


def test_a_change_that_keeps_size_and_time_of_the_content_is_seen(folder: Path) -> None:
    """As when somebody restores an image with its times, or tries to hide what he wrote."""
    os.utime(folder / "a", ns=(LONG_AGO, LONG_AGO))
    first = scan(folder)
    with (folder / "a").open("r+b") as file:
        file.write(b"raw!")
    os.utime(folder / "a", ns=(LONG_AGO, LONG_AGO))
    second = scan(folder, first)
    assert (first["a"].header.format, second["a"].header.format) == ("qcow2", "raw")


def test_another_file_under_the_name_is_seen(folder: Path) -> None:
    first = scan(folder)
    (folder / "b").replace(folder / "a")
    second = scan(folder, first)
    assert list(second) == ["a", "c"] and second["a"] is not first["a"]


def test_a_note_beside_the_content_is_seen(folder: Path) -> None:
    first = scan(folder)
    stem = "trusted" if os.geteuid() == 0 else "user"
    try:
        os.setxattr(folder / "a", f"{stem}.frontinus.format", b"raw")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    assert scan(folder, first)["a"].declared == "raw"


def test_a_file_that_was_just_written_is_looked_at_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second write within the same tick of the clock would leave its marks as they are."""
    monkeypatch.setattr(images, "SETTLED_NS", 3 * 10**9)
    first = scan(folder)
    assert all(one.stamp is None for one in first.values())
    assert scan(folder, first)["a"] is not first["a"]
    monkeypatch.setattr(time, "time_ns", lambda: (folder / "a").stat().st_ctime_ns + 4 * 10**9)
    assert scan(folder)["a"].stamp is not None


def test_files_of_servers_and_of_other_devices_are_looked_at_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").unlink()
    (folder / "a").symlink_to("/proc/self/status")
    first = scan(folder)
    assert first["a"].stamp is None and first["b"].stamp is not None
    monkeypatch.setattr(images, "_marking_device", lambda folder: None)
    assert scan(folder)["b"].stamp is None


def test_one_image_that_is_asked_for_is_always_looked_at(folder: Path) -> None:
    assert images.inspect(Inspect(str(folder / "a"))).stamp is None


def test_what_is_no_image_is_told_from_one(folder: Path) -> None:
    (folder / "d").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "lost").symlink_to("nowhere")
    found = scan(folder)
    assert {name: one.place.kind for name, one in found.items()} == {
        **dict.fromkeys("abc", "file"), "d": "dir", "pipe": "other"
    }  # fmt: skip
    with pytest.raises(StorageFailed, match="No such file"):
        scan(folder / "nothing")


def test_images_that_begin_alike_are_told_apart_by_what_comes_later(folder: Path) -> None:
    over = bytearray(HEADER)
    over[8:20] = struct.pack(">QI", 512, 4)
    for name, below in (("a", b"one\0"), ("b", b"two\0")):
        (folder / name).write_bytes(over[:512] + below)
    luks = b"LUKS\xba\xbe\0\1" + bytes(96) + struct.pack(">I", 1) + bytes(404)
    (folder / "c").write_bytes(luks + bytes(1000))
    (folder / "d").write_bytes(luks + bytes(2000))
    (folder / "e").write_bytes(bytes(0x9000))
    (folder / "f").write_bytes(bytes(0x8001) + b"CD001\1" + bytes(0x900))
    found = {name: one.header for name, one in scan(folder).items()}
    assert (found["a"].backing, found["b"].backing) == ("one", "two")
    assert (found["c"].capacity, found["d"].capacity) == (1000, 2000)
    assert (found["e"].format, found["f"].format) == ("raw", "iso")


def test_the_time_of_access_stays(folder: Path) -> None:
    os.utime(folder / "a", ns=(LONG_AGO, LONG_AGO))
    scan(folder)
    assert (folder / "a").stat().st_atime_ns == LONG_AGO


def test_volumes_are_made_of_what_was_found_when_asked_for_and_kept_while_that_is_the_same(folder: Path) -> None:
    (folder / ".hidden").touch()
    first = scan(folder)
    before = FileVolumes(first, {})
    assert list(before) == ["a", "b", "c"] and len(before) == 3
    assert (before["a"].format, before["a"].capacity) == ("qcow2", 2**20) and before["b"] is before["b"]
    (folder / "b").write_bytes(bytes(10))
    after = FileVolumes(scan(folder, first), before)
    assert after["a"] is before["a"]
    assert (after["b"].format, after["c"].format) == ("raw", "qcow2")
    assert "d" not in after
