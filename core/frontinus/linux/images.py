"""Disk images by qemu-img: never through a shell, never with a guessed format, within limits of time and memory.

An image may be a guest's own work: what its header says is not believed, so the caller names the format always.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from frontinus.api.errors import StorageFailed
from frontinus.linux.helpers import tool
from frontinus.linux.landlock import Sight, inside

SECONDS = 60.0
LIMITS = ("--as=2147483648", "--cpu=30", "--core=0")
"""For qemu-img: bytes of address space, seconds on a CPU, no core file."""
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


class ImageInfo(msgspec.Struct, rename="kebab", frozen=True):
    """What an image says of itself; sizes in bytes. The names of backing files are its own words and only that."""

    format: str
    virtual_size: int
    actual_size: int = 0
    backing_filename: str | None = None
    backing_filename_format: str | None = None
    encrypted: bool = False


async def info(path: str, image_format: str) -> ImageInfo:
    """Look at an image, which may be in use. Backing files are not opened. Raises StorageFailed."""
    argv = ["info", "--force-share", "--output=json", "-f", image_format, "--", plain(path)]
    output = await asyncio.to_thread(run, argv, path)
    try:
        return msgspec.json.decode(output, type=ImageInfo)
    except msgspec.DecodeError as error:
        raise StorageFailed(f"{path}: qemu-img's answer makes no sense: {error}", path=path) from error


async def create(path: str, image_format: str, size: int | None, *, backing: str | None = None,
                 backing_format: str | None = None, options: Mapping[str, str] | None = None) -> None:  # fmt: skip
    """Make an image, over a backing file perhaps, whose size it has if none is given. Raises StorageFailed."""
    argv = create_argv(path, image_format, size, backing=backing, backing_format=backing_format, options=options)

    def make() -> None:
        Path(path).touch(0o600)  # what is there can be shown to a program
        run(argv, path, [backing] if backing is not None else [])

    await asyncio.to_thread(make)


async def resize(path: str, image_format: str, size: int, *, shrink: bool = False) -> None:
    """Change the size of an image that is not in use. Raises StorageFailed."""
    shrinking = ["--shrink"] if shrink else []
    await asyncio.to_thread(run, ["resize", *shrinking, "-f", image_format, "--", plain(path), str(size)], path)


def create_argv(path: str, image_format: str, size: int | None, *, backing: str | None = None,
                backing_format: str | None = None, options: Mapping[str, str] | None = None) -> list[str]:  # fmt: skip
    """The arguments of "qemu-img create". A backing file without its format is refused."""
    if backing is not None and backing_format is None:
        raise StorageFailed(f"the format of the backing file {backing} is not known", path=backing)
    argv = ["create", "-q", "-f", image_format]
    if backing is not None and backing_format is not None:
        argv += ["-b", plain(backing), "-F", backing_format]
    for name, value in (options or {}).items():
        argv += ["-o", f"{name}={value.replace(',', ',,')}"]
    return [*argv, "--", plain(path), *([str(size)] if size is not None else [])]


def run(arguments: Sequence[str], path: str, reads: Sequence[str] = ()) -> bytes:
    """Run qemu-img and return what it prints; blocks. It sees the image at `path`, which is there, and `reads`.

    Raises StorageFailed in its own words, HostFailed if it is missing.
    """
    argv = [tool("prlimit"), *LIMITS, "--", tool("qemu-img"), *arguments]
    try:
        done = inside(Sight(reads, (path,)), lambda: subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, env=ENVIRONMENT, timeout=SECONDS, check=False
        ))  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StorageFailed(f"{path}: qemu-img did not end within {SECONDS:g} s", path=path) from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().removeprefix("qemu-img: ")[-500:]
        raise StorageFailed(f"{path}: {words or f'qemu-img failed with status {done.returncode}'}", path=path)
    return done.stdout


def plain(path: str) -> str:
    """A path that qemu-img takes for nothing else: a colon would make it a protocol, "json:" a whole graph."""
    return path if path.startswith("/") else f"./{path}"
