"""The kernel's resctrl: groups of threads with a share of caches and of memory bandwidth, or that are measured.

A guest's groups are OURS@FOLDER@NAME there, FOLDER being the name of its private folder: a later engine finds them by it.
Source: Documentation/arch/x86/resctrl.rst.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from frontinus import locks
from frontinus.api.errors import HostFailed, Unsupported
from frontinus.domain.resctrl import (
    BandwidthFacts,
    CacheFacts,
    Group,
    ResctrlFacts,
    Share,
    groups,
    name_of,
    parse_schemata,
)
from frontinus.linux.topology import read
from frontinus.ports.limits import Threads

log = logging.getLogger(__name__)
ROOT = Path("/sys/fs/resctrl")
CPUS = Path("/sys/devices/system/cpu")
SIGN = "@"
NOT_GROUPS = frozenset({"info", "mon_groups", "mon_data"})
KIB = 1024
LOCK_SECONDS = 10.0


class Resctrl:
    """What is there of resctrl. `ours` begins the names of our groups.

    `root` and `cpus` stand in for sysfs in tests, `make` and `drop` for what the kernel does with folders there.
    """

    def __init__(self, ours: str, root: Path = ROOT, cpus: Path = CPUS, *, make: Callable[[Path], None] = Path.mkdir,
                 drop: Callable[[Path], None] = Path.rmdir) -> None:  # fmt: skip
        self._ours, self._root, self._cpus = ours, root, cpus
        self._make, self._drop = make, drop

    def allocate(self, folder: str, wanted: Sequence[Share], threads: Threads) -> None:
        """Make the groups of a guest where they are not there yet, and put its vCPUs' threads into them. Blocks.

        Raises Unsupported for what this host cannot give, HostFailed.
        """
        if not (self._root / "schemata").is_file():
            element = wanted[0].element
            raise Unsupported(
                f"<{element}>: this host has no means for it: {self._root} is not mounted", element=element
            )
        with self._alone():
            new = [share for share in wanted if not self._exists(folder, share)]
            made = groups(new, self.facts()) if new else []
            for group in made:
                self._begin(folder, group)
            for share in wanted:
                self._fill(folder, share, threads)

    def measured(self, folder: str, vcpus: Sequence[int], file: str) -> dict[int, float]:
        """What a file of mon_data tells of some vCPUs, by number of cache, node or package. Some reads of small files."""
        found: dict[int, float] = {}
        for place in self._measuring(folder, name_of(vcpus)):
            for domain in _folders(place / "mon_data"):
                number, value = domain.name.rpartition("_")[2], read(domain / file)
                if number.isdecimal() and value and re.fullmatch(r"\d+(\.\d+)?", value):
                    found.setdefault(int(number), float(value))
        return found

    def remove(self, folder: str) -> None:
        """Remove a guest's groups; their threads, if any are left, go back to the default group. Idempotent."""
        for place in self._all(self._prefix(folder)):
            try:
                self._drop(place)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("cannot remove the group %s: %s", place, error.strerror)

    def sweep(self, kept: Sequence[str]) -> None:
        """Remove our groups that belong to none of these private folders."""
        prefixes = tuple(self._prefix(folder) for folder in kept)
        for place in self._all(f"{self._ours}{SIGN}"):
            if not place.name.startswith(prefixes):
                with contextlib.suppress(OSError):
                    self._drop(place)

    # What is there

    def facts(self) -> ResctrlFacts:
        """What the host can share, and what is taken."""
        info = self._root / "info"
        sizes = self._sizes()
        caches = {}
        for folder in info.glob("L*"):
            mask = read(folder / "cbm_mask")
            if mask and not folder.name.endswith("_MON"):
                level = int("".join(filter(str.isdigit, folder.name)))
                own = {number: size for (at, number), size in sizes.items() if at == level}
                caches[folder.name] = CacheFacts(int(mask, 16), int(read(folder / "min_cbm_bits") or 1), own)
        bandwidth = None
        if (info / "MB").is_dir():
            least, step = (int(read(info / "MB" / name) or 1) for name in ("min_bandwidth", "bandwidth_gran"))
            bandwidth = BandwidthFacts(least, step)
        monitors = {word for place in info.glob("*_MON") for word in (read(place / "mon_features") or "").split()}
        schemata = {place: parse_schemata(read(place / "schemata") or "") for place in [self._root, *self._groups()]}
        usual = schemata.pop(self._root)
        return ResctrlFacts(caches, bandwidth, usual, tuple(schemata.values()), frozenset(monitors))

    def _sizes(self) -> dict[tuple[int, int], int]:
        """Bytes of the host's caches by level and number."""
        found = {}
        for index in self._cpus.glob("cpu[0-9]*/cache/index[0-9]*"):
            level, number, size = (read(index / name) for name in ("level", "id", "size"))
            if level and number and size and size.endswith("K"):
                found[int(level), int(number)] = int(size[:-1]) * KIB
        return found

    def _groups(self) -> Iterator[Path]:
        return (entry for entry in _folders(self._root) if entry.name not in NOT_GROUPS)

    def _all(self, prefix: str) -> list[Path]:
        """Our groups whose names begin so; those in the default group, which only measure, too."""
        places = (*_folders(self._root), *_folders(self._root / "mon_groups"))
        return [place for place in places if place.name.startswith(prefix)]

    def _measuring(self, folder: str, name: str) -> Iterator[Path]:
        """The group of a guest that measures: one inside a share's, one in the default group, or a share's own."""
        places = self._all(self._prefix(folder))
        yield from (inner for place in places for inner in _folders(place / "mon_groups") if inner.name == name)
        yield from (place for place in places if place.name.rpartition(SIGN)[2] == name)

    # Making

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """As the kernel's documentation asks of whoever reads and then writes."""
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not locks.take(fd, lambda waited: waited > LOCK_SECONDS):
                raise HostFailed(f"another program holds the lock of {self._root}", what=str(self._root))
            yield
        finally:
            os.close(fd)

    def _prefix(self, folder: str) -> str:
        return f"{self._ours}{SIGN}{Path(folder).name}{SIGN}"

    def _place(self, folder: str, share: Share | Group) -> Path:
        return self._root / f"{self._prefix(folder)}{share.name}"

    def _measures(self, folder: str, share: Share | Group, vcpus: Sequence[int]) -> Path:
        """The group that measures some vCPUs: in the share's own group, or in the default one."""
        own = self._place(folder, share)
        if own.is_dir():
            return own / "mon_groups" / name_of(vcpus)
        return self._root / "mon_groups" / f"{own.name}{SIGN}{name_of(vcpus)}"

    def _exists(self, folder: str, share: Share) -> bool:
        return self._place(folder, share).is_dir() or any(
            self._measures(folder, share, vcpus).is_dir() for vcpus, _ in share.monitors)  # fmt: skip

    def _begin(self, folder: str, group: Group) -> None:
        place = self._place(folder, group)
        if group.schemata:
            self._made(place)
            for line in group.schemata:
                _write(place / "schemata", line, self._root)
        for vcpus in group.monitors:
            self._made(self._measures(folder, group, vcpus))

    def _made(self, place: Path) -> None:
        try:
            self._make(place)
        except OSError as error:
            why = "the processor has no more groups" if error.errno == errno.ENOSPC else error.strerror
            raise HostFailed(f"cannot make the group {place}: {why}", what=str(place)) from None

    def _fill(self, folder: str, share: Share, threads: Threads) -> None:
        """The share's own group first: a thread that is measured in it must be there already."""
        place = self._place(folder, share)
        inner = ((self._measures(folder, share, vcpus), vcpus) for vcpus, _ in share.monitors)
        for group, vcpus in ((place, share.vcpus), *inner):
            for vcpu in vcpus if group.is_dir() else ():
                if vcpu in threads.vcpus:
                    with contextlib.suppress(ProcessLookupError):
                        _write(group / "tasks", str(threads.vcpus[vcpu]), self._root)


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(entry for entry in place.iterdir() if entry.is_dir())
    except OSError:
        return []


def _write(path: Path, text: str, root: Path) -> None:
    """One line. The kernel takes each write for itself, wherever in the file. Raises HostFailed with the kernel's reason."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(fd, f"{text}\n".encode())
        finally:
            os.close(fd)
    except ProcessLookupError:
        raise
    except OSError as error:
        why = (read(root / "info/last_cmd_status") or "").strip()
        reason = why if why not in ("", "ok") else error.strerror
        raise HostFailed(f"cannot write '{text}' to {path}: {reason}", what=str(path)) from None
