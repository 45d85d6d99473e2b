"""Probes kept on disk, by the identity of the binary and of what its answers depend on."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import tempfile
from pathlib import Path

import msgspec

from frontinus.domain.host import Paths
from frontinus.ports.resources import Credentials
from frontinus.qemu.caps.user import KVM, probe_user

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised whenever the probe asks for more or records it otherwise."""
MODULES = ("/usr/lib/x86_64-linux-gnu/qemu", "/usr/lib64/qemu", "/usr/lib/qemu", "/usr/local/lib/x86_64-linux-gnu/qemu")
"""Where distributions keep QEMU's loadable modules: installing one changes the answers of the same binary."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
END = b'{"complete": true}\n'


def default_folder() -> Path:
    """Root's cache, or the user's."""
    if os.geteuid() == 0:
        return Path(Paths().cache, "capabilities")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "frontinus", "capabilities")


def recording(emulator: str, folder: Path, who: Credentials | None = None) -> bytes:
    """The recorded probe of a binary, from the cache or fresh. Blocks; see `probe` for what it raises."""
    who = who or probe_user()
    header = _header(emulator, who)
    path = folder / f"{hashlib.sha256(os.fsencode(emulator)).hexdigest()[:32]}.qmp"
    with contextlib.suppress(OSError):
        text = path.read_bytes()
        if text.startswith(header) and text.endswith(END):
            return text
    from frontinus.qemu.caps.probe import probe  # costs asyncio, which a tool that finds its cache does without

    text = header + probe(emulator, who) + END
    try:
        _write(path, text)
    except OSError as error:  # the probe is as good without its cache
        log.info("the probe of %s is not kept: %s", emulator, error)
    return text


def _header(emulator: str, who: Credentials | None) -> bytes:
    """What an answer stands for: one line that differs whenever the answers might."""
    user = [who.uid, who.gid, *who.groups] if who else os.getuid()
    return msgspec.json.encode({"format": FORMAT, "user": user, "of": identity(emulator)}) + b"\n"


def identity(emulator: str) -> list[object]:
    """The binary, its modules, the kernel's KVM, the boot."""
    things = [_identity(Path(thing)) for thing in (emulator, *MODULES, KVM)]
    return [emulator, *things, BOOT.read_text().strip()]


def _identity(path: Path) -> list[int]:
    """A device's node is told by its owner and mode (its times change with its use), a file also by size and time."""
    try:
        found = path.stat()
    except OSError:
        return []
    owner = [found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid]
    return owner if stat.S_ISCHR(found.st_mode) else [*owner, found.st_size, found.st_mtime_ns]


def _write(path: Path, text: bytes) -> None:
    """Whole or not at all; no fsync, since a torn file only costs another probe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
