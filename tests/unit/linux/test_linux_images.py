"""Images by qemu-img: real files, no guessed formats, limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from frontinus.api.errors import HostFailed, StorageFailed
from frontinus.linux import helpers, images

MIB = 2**20

pytestmark = pytest.mark.needs("qemu-img")


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
async def test_make_look_resize(image_format: str, tmp_path: Path) -> None:
    path = str(tmp_path / "a,b:c.img")
    await images.create(path, image_format, 8 * MIB)
    assert (await images.info(path, image_format)).virtual_size == 8 * MIB
    await images.resize(path, image_format, 9 * MIB)
    with pytest.raises(StorageFailed, match="shrink"):
        await images.resize(path, image_format, 4 * MIB)
    await images.resize(path, image_format, 5 * MIB, shrink=True)
    shown = await images.info(path, image_format)
    assert (shown.format, shown.virtual_size, shown.backing_filename) == (image_format, 5 * MIB, None)
    assert shown.actual_size < 4 * MIB


async def test_an_overlay_has_the_size_of_what_it_lies_on(tmp_path: Path) -> None:
    base, top = str(tmp_path / "base.img"), str(tmp_path / "top.qcow2")
    await images.create(base, "raw", 3 * MIB)
    await images.create(top, "qcow2", None, backing=base, backing_format="raw", options={"cluster_size": "4k"})
    shown = await images.info(top, "qcow2")
    assert (shown.virtual_size, shown.backing_filename, shown.backing_filename_format) == (3 * MIB, base, "raw")
    with pytest.raises(StorageFailed, match="format of the backing file"):
        await images.create(top, "qcow2", None, backing=base)


async def test_a_format_is_never_guessed(tmp_path: Path) -> None:
    """A guest that writes a qcow2 header into its raw disk has not made it a qcow2 image."""
    path = tmp_path / "disk.img"
    await images.create(str(path), "qcow2", MIB)
    shown = await images.info(str(path), "raw")
    assert (shown.format, shown.virtual_size, shown.backing_filename) == (
        "raw",
        -(-path.stat().st_size // 512) * 512,
        None,
    )


async def test_a_relative_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    await images.create("json:{}", "raw", MIB)
    assert os.listdir(tmp_path) == ["json:{}"]  # noqa: PTH208
    assert (await images.info("json:{}", "raw")).virtual_size == MIB


async def test_failures_are_told_in_qemu_imgs_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(StorageFailed, match="missing.*No such file") as caught:
        await images.info(missing, "raw")
    assert caught.value.details["path"] == missing
    with pytest.raises(StorageFailed, match="nosuch"):
        await images.create(missing, "nosuch", MIB)
    monkeypatch.setattr(images, "SECONDS", -1.0)
    with pytest.raises(StorageFailed, match="did not end within -1 s"):
        await images.info(missing, "raw")
    monkeypatch.setattr(helpers, "TOOLS", ())
    with pytest.raises(HostFailed, match="not installed"):
        await images.info(missing, "raw")


async def test_a_malicious_image_cannot_take_the_hosts_memory(tmp_path: Path) -> None:
    """A header that asks for a gigantic table costs an error within the limits, not the host's memory."""
    path = tmp_path / "evil.qcow2"
    await images.create(str(path), "qcow2", MIB)
    with path.open("r+b") as file:
        file.seek(36)
        file.write((0x7FFFFFF0).to_bytes(4, "big"))  # l1_size
    with pytest.raises(StorageFailed, match=r"evil\.qcow2"):
        await images.info(str(path), "qcow2")
