"""Files that another may have put in the place of ours."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from frontinus import untrusted
from frontinus.linux.pinned import pinned


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert (untrusted.read(path, 10), untrusted.tail(path, 3)) == (b"0123456789", b"789")
    with pytest.raises(OSError, match="more than 9 bytes"):
        untrusted.read(path, 9)


@pytest.mark.parametrize("put", [
    lambda path, victim: path.symlink_to(victim), lambda path, victim: path.hardlink_to(victim),
    lambda path, victim: os.mkfifo(path), lambda path, victim: path.mkdir(),
])  # fmt: skip
def test_only_a_file_of_one_name_is_opened(tmp_path: Path, put: Callable[[Path, Path], None]) -> None:
    victim, path = tmp_path / "victim", tmp_path / "path"
    victim.write_text("secret")
    put(path, victim)
    for flags in (os.O_RDONLY, os.O_WRONLY | os.O_APPEND):
        with pytest.raises(OSError):
            untrusted.open_regular(path, flags)
    with pytest.raises(OSError):
        untrusted.tail(path, 10)


def test_a_pinned_file_is_the_same_whatever_its_name_leads_to(tmp_path: Path) -> None:
    path, victim = tmp_path / "image", tmp_path / "victim"
    for file in (path, victim):
        file.write_text(file.name)
    with pinned(str(path)) as held:
        path.unlink()
        path.symlink_to(victim)
        assert Path(held).read_text() == "image"
    with pytest.raises(OSError, match="symbolic links"), pinned(str(path)):
        pass


def test_a_link_on_the_way_to_a_pinned_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/image").write_text("")
    (tmp_path / "way").symlink_to(tmp_path / "folder")
    with pytest.raises(OSError, match="symbolic links"), pinned(str(tmp_path / "way/image")):
        pass
