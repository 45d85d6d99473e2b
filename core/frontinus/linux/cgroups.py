"""Control groups of guests, version 1 and 2, and the CPUs of their threads.

A guest's group is PARTITION/NAME in each hierarchy, NAME being that of its private folder. Its threads get parts of their
own below it once something is limited for them alone. Sources: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from frontinus.api.errors import HostFailed, InvalidValue, Unsupported
from frontinus.api.views import GroupStats
from frontinus.domain.host import Paths
from frontinus.domain.resctrl import Share
from frontinus.linux.groupfigures import GroupFiles
from frontinus.linux.resctrl import Resctrl
from frontinus.linux.topology import numbers
from frontinus.ports.limits import NO_LIMIT, Controller, Setting, Shape, Threads

log = logging.getLogger(__name__)
CONTROLLERS: tuple[Controller, ...] = ("cpu", "memory", "blkio", "cpuset")
IN_V2: Mapping[str, str] = {"blkio": "io"}
"""Names of controllers that version 2 calls otherwise."""
ENTERED: tuple[Controller, ...] = ("cpu", "memory", "blkio")
"""A guest is in its groups of these from its start: memory counts for the group that it was touched in."""
COUNTED: tuple[Controller, ...] = ("cpu", "memory")
"""Those whose figures are told."""
REMOVE_TRIES, REMOVE_PAUSE = 20, 0.05
"""The kernel lets go of a group some moments after its last process."""

V1: Mapping[str, Sequence[str]] = {
    "shares": ["cpu.shares"], "period": ["cpu.cfs_period_us"], "quota": ["cpu.cfs_quota_us"],
    "hard_limit": ["memory.limit_in_bytes"], "soft_limit": ["memory.soft_limit_in_bytes"],
    "swap_hard_limit": ["memory.memsw.limit_in_bytes"], "weight": ["blkio.weight", "blkio.bfq.weight"],
    "read_bytes": ["blkio.throttle.read_bps_device"], "write_bytes": ["blkio.throttle.write_bps_device"],
    "read_iops": ["blkio.throttle.read_iops_device"], "write_iops": ["blkio.throttle.write_iops_device"],
    "device_weight": ["blkio.weight_device", "blkio.bfq.weight_device"], "mems": ["cpuset.mems"],
}  # fmt: skip
"""The file of a key; of several the first that this kernel has."""
V2: Mapping[str, tuple[Sequence[str], str]] = {
    "shares": (["cpu.weight"], "{value}"), "period": (["cpu.max"], ""), "quota": (["cpu.max"], ""),
    "hard_limit": (["memory.max"], "{value}"), "soft_limit": (["memory.high"], "{value}"),
    "swap_hard_limit": (["memory.swap.max"], "{value}"), "weight": (["io.weight", "io.bfq.weight"], "{value}"),
    "read_bytes": (["io.max"], "{device} rbps={value}"), "write_bytes": (["io.max"], "{device} wbps={value}"),
    "read_iops": (["io.max"], "{device} riops={value}"), "write_iops": (["io.max"], "{device} wiops={value}"),
    "device_weight": (["io.weight", "io.bfq.weight"], "{device} {value}"), "mems": (["cpuset.mems"], "{value}"),
}  # fmt: skip
"""The file of a key, and the form of its value; what has none is made of two keys."""
POLICIES = {"batch": os.SCHED_BATCH, "idle": os.SCHED_IDLE, "fifo": os.SCHED_FIFO, "rr": os.SCHED_RR}
"""Schedulers by the words of <vcpusched>."""
DEFAULT_PERIOD = 100_000
MOST_WEIGHT = 10_000


@dataclass(frozen=True)
class Hierarchy:
    """Where a controller is: its mount, and the version."""

    root: Path
    version: int


def hierarchies(mounts: str) -> dict[Controller, Hierarchy]:
    """The hierarchy of each controller, from /proc/mounts: one bound to version 1 is not in version 2."""
    found: dict[Controller, Hierarchy] = {}
    unified: Path | None = None
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified = unified or Path(place)
        elif kind == "cgroup":
            for controller in set(CONTROLLERS) & set(options.split(",")):
                found.setdefault(controller, Hierarchy(Path(place), 1))
    if unified is not None:
        with contextlib.suppress(OSError):
            offered = (unified / "cgroup.controllers").read_text().split()
            for controller in CONTROLLERS:
                if IN_V2.get(controller, controller) in offered:
                    found.setdefault(controller, Hierarchy(unified, 2))
    return found


class Cgroups:
    """`ports.Limits` on Linux. `mounts` stands in for /proc/mounts in tests, `resctrl` for the kernel's."""

    def __init__(self, paths: Paths, mounts: str | None = None, resctrl: Resctrl | None = None) -> None:
        self._mounts = mounts
        self._files: dict[str, GroupFiles] = {}
        default = paths.state == Paths().state
        self._partition = "frontinus" + ("" if default else "-" + hashlib.sha256(paths.state.encode()).hexdigest()[:8])
        self._resctrl = resctrl or Resctrl(self._partition)

    @cached_property
    def _where(self) -> dict[Controller, Hierarchy]:
        return hierarchies(Path("/proc/mounts").read_text() if self._mounts is None else self._mounts)

    def cpus(self) -> tuple[int, ...]:
        return tuple(numbers(Path("/sys/devices/system/cpu/online").read_text().strip()))

    def controllers(self) -> frozenset[Controller]:
        return frozenset(c for c in self._where if os.access(self._where[c].root, os.W_OK))

    def enter(self, group: str, pid: int) -> None:
        for controller in ENTERED:
            try:
                if controller in self._where:
                    _write(self._made(controller, group) / "cgroup.procs", str(pid))
            except (OSError, HostFailed) as error:
                log.debug("guest %s has no group of %s: %s", group, controller, error)

    async def apply(self, group: str, settings: Sequence[Setting], threads: Threads) -> None:
        await asyncio.to_thread(self._apply, group, settings, threads)

    async def allocate(self, group: str, shares: Sequence[Share], threads: Threads) -> None:
        await asyncio.to_thread(self._resctrl.allocate, group, shares, threads)

    def measured(self, group: str, vcpus: Sequence[int], what: str) -> Mapping[int, float]:
        return self._resctrl.measured(group, vcpus, what)

    async def pin(self, threads: Sequence[int], cpus: Sequence[int]) -> None:
        here = set(cpus) & set(self.cpus())
        if not here:
            raise InvalidValue("none of these CPUs is one of the host's", field="cpus")
        _each(threads, "placed on CPUs", lambda thread: os.sched_setaffinity(thread, here))

    async def schedule(self, threads: Sequence[int], policy: str, priority: int) -> None:
        scheduler, parameter = POLICIES[policy], os.sched_param(priority)
        _each(threads, f"scheduled as {policy}", lambda thread: os.sched_setscheduler(thread, scheduler, parameter))

    async def emulator(self, threads: Threads) -> Sequence[int]:
        own = {*threads.vcpus.values(), *threads.iothreads.values()}
        return [thread for thread in _tasks(threads.process) if thread not in own]

    async def shape(self, link: str, inbound: Shape | None, outbound: Shape | None) -> None:
        from frontinus.linux.network.shaping import shape  # it brings all of netlink, which few guests need

        await asyncio.to_thread(shape, link, inbound, outbound)

    def figures(self, group: str) -> GroupStats | None:
        files = self._files.get(group)
        if files is None:
            places = {c: (self._group(c, group), self._where[c].version) for c in COUNTED if c in self._where}
            known: dict[str, tuple[Path, int]] = {c: place for c, place in places.items() if place[0].is_dir()}
            if not known:
                return None
            files = self._files[group] = GroupFiles(known)
        return files.read()

    async def remove(self, group: str) -> None:
        name = Path(group).name
        if (files := self._files.pop(group, None)) is not None:
            files.close()
        for place in self._places():
            for _ in range(REMOVE_TRIES):
                if await asyncio.to_thread(_remove, place / name):
                    break
                await asyncio.sleep(REMOVE_PAUSE)
            else:
                log.warning("the control group %s is still in use", place / name)
            with contextlib.suppress(OSError):
                place.rmdir()  # it goes with the last guest
        await asyncio.to_thread(self._resctrl.remove, group)

    async def sweep(self, living: Sequence[str]) -> None:
        kept = {Path(folder).name for folder in living}
        for place in self._places():
            for folder in [entry for entry in _folders(place) if entry.name not in kept]:
                await asyncio.to_thread(_remove, folder)
        await asyncio.to_thread(self._resctrl.sweep, living)

    # Groups

    def _places(self) -> list[Path]:
        return list(dict.fromkeys(where.root / self._partition for where in self._where.values()))

    def _group(self, controller: Controller, group: str) -> Path:
        where = self._where.get(controller)
        if where is None:
            raise Unsupported(f"this host has no control groups of '{controller}': nothing can be limited there")
        return where.root / self._partition / Path(group).name

    def _made(self, controller: Controller, group: str, part: str = "") -> Path:
        """The folder of a group or its part, made where missing. Raises HostFailed, Unsupported."""
        folder, where = self._group(controller, group), self._where[controller]
        target = folder / part if part else folder
        if target.is_dir() and _has(target, where, controller):
            return target
        steps = (folder.parent, folder, *([target] if part else []))
        try:
            try:
                _make_all(steps, where, controller, part)
            except FileNotFoundError:  # the last guest took the partition with it this very moment
                _make_all(steps, where, controller, part)
        except OSError as error:
            raise HostFailed(f"cannot make the control group {target}: {error.strerror}", what=str(target)) from None
        return target

    def _apply(self, group: str, settings: Sequence[Setting], threads: Threads) -> None:
        writes: list[tuple[Setting, Path, str]] = []
        for controller, part in dict.fromkeys((s.controller, s.part) for s in settings):
            folder = self._filled(controller, group, part, threads)
            mine = [s for s in settings if (s.controller, s.part) == (controller, part)]
            writes += _writes(mine, folder, self._where[controller].version)
        _write_all(writes)

    def _filled(self, controller: Controller, group: str, part: str, threads: Threads) -> Path:
        """The folder with what belongs in it: the whole process, or the part's threads."""
        whole = self._made(controller, group)
        if str(threads.process) not in _read(whole / "cgroup.procs").split():
            _write_or_fail(whole / "cgroup.procs", str(threads.process))
        if not part:
            return whole
        folder = self._made(controller, group, part)
        file = "tasks" if self._where[controller].version == 1 else "cgroup.threads"
        for thread in _of_part(part, threads):
            with contextlib.suppress(ProcessLookupError):
                _write_or_fail(folder / file, str(thread))
        return folder


def _of_part(part: str, threads: Threads) -> Iterable[int]:
    found = re.fullmatch(r"(vcpu|iothread)(\d+)", part)
    if found:
        numbered = threads.vcpus if found.group(1) == "vcpu" else threads.iothreads
        return [numbered[int(found.group(2))]]
    own = {*threads.vcpus.values(), *threads.iothreads.values()}
    return [thread for thread in _tasks(threads.process) if thread not in own]


def _each(threads: Iterable[int], doing: str, act: Callable[[int], None]) -> None:
    """Change threads, but for those that have ended. Raises HostFailed."""
    for thread in threads:
        try:
            act(thread)
        except ProcessLookupError:
            continue
        except OSError as error:
            raise HostFailed(f"a thread cannot be {doing}: {error.strerror}", what=str(thread)) from None


def _tasks(pid: int) -> list[int]:
    try:
        return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def _has(folder: Path, where: Hierarchy, controller: Controller) -> bool:
    """Whether a group that is there has the controller: in version 2 one folder is of all those that its parent lends."""
    if where.version == 2:
        return IN_V2.get(controller, controller) in _read(folder.parent / "cgroup.subtree_control").split()
    return controller != "cpuset"


def _make_all(steps: Sequence[Path], where: Hierarchy, controller: Controller, part: str) -> None:
    for step in steps:
        _make(step, where, controller, threaded=step == steps[-1] and bool(part))


def _make(folder: Path, where: Hierarchy, controller: Controller, *, threaded: bool) -> None:
    folder.mkdir(exist_ok=True)
    if where.version == 2:
        if threaded:
            _write(folder / "cgroup.type", "threaded")
        _write(folder.parent / "cgroup.subtree_control", f"+{IN_V2.get(controller, controller)}")
    elif controller == "cpuset":
        for file in ("cpuset.cpus", "cpuset.mems"):  # a new group has none, and takes no process so
            if not _read(folder / file).strip():
                _write(folder / file, _read(folder.parent / file).strip())


def _writes(settings: Sequence[Setting], folder: Path, version: int) -> list[tuple[Setting, Path, str]]:
    """What to write where, for the settings of one group."""
    made = []
    by_key = {setting.key: setting for setting in settings}
    now = _read(folder / "memory.max").strip()
    known = int(by_key["hard_limit"].value) if "hard_limit" in by_key else int(now) if now.isdecimal() else NO_LIMIT
    hard = None if known == NO_LIMIT else known
    for setting in settings:
        key = "device_weight" if setting.device and setting.key == "weight" else setting.key
        files, form = (V1[key], "{device} {value}" if setting.device else "{value}") if version == 1 else V2[key]
        file = _first(folder, files, setting)
        device = _device(setting.device) if setting.device else ""
        if not form:
            made.append((setting, file, _bandwidth(by_key, _read(file))))
        else:
            made.append((setting, file, form.format(device=device, value=_value(setting, version, hard))))
    return made


def _first(folder: Path, files: Sequence[str], setting: Setting) -> Path:
    for name in files:
        if (folder / name).exists():
            return folder / name
    raise Unsupported(f"this kernel cannot limit '{setting.key}' of guests: it has no {' or '.join(files)}")


def _value(setting: Setting, version: int, hard: int | None) -> str:
    """`hard`: the limit of memory alone, which version 2 counts apart from that of swap."""
    if version == 1:
        return str(setting.value)
    if setting.value == NO_LIMIT or (setting.device and setting.key != "weight" and setting.value == 0):
        return "max"
    if setting.key == "shares":
        return str(min(int(setting.value), MOST_WEIGHT))
    if setting.key == "swap_hard_limit":
        return str(max(0, int(setting.value) - hard)) if hard is not None else "max"
    return str(setting.value)


def _bandwidth(by_key: Mapping[str, Setting], now: str) -> str:
    """cpu.max: quota and period in one, what is not set staying as it is."""
    quota, period = (now.split() or ["max", str(DEFAULT_PERIOD)])[:2]
    if "quota" in by_key:
        quota = "max" if by_key["quota"].value == NO_LIMIT else str(by_key["quota"].value)
    if "period" in by_key:
        period = str(by_key["period"].value)
    return f"{quota} {period}"


def _device(path: str) -> str:
    """major:minor of a block device. Raises InvalidValue."""
    try:
        about = Path(path).stat()
    except OSError as error:
        raise InvalidValue(f"cannot look at '{path}': {error.strerror}", field="path") from None
    if not stat.S_ISBLK(about.st_mode):
        raise InvalidValue(f"'{path}' is no block device of the host", field="path")
    return f"{os.major(about.st_rdev)}:{os.minor(about.st_rdev)}"


def _write_all(writes: Sequence[tuple[Setting, Path, str]]) -> None:
    """Write all. Some limits may only be set once another is: what is refused is tried again after the others."""
    left = list(writes)
    while left:
        refused = [(write, error) for write in left if (error := _refusal(*write[1:])) is not None]
        if len(refused) == len(left):
            (setting, file, text), error = refused[0]
            raise HostFailed(f"the kernel refuses {setting.key} {text}: {error.strerror}", what=str(file))
        left = [write for write, _ in refused]


def _refusal(file: Path, text: str) -> OSError | None:
    try:
        _write(file, text)
    except OSError as error:
        return error
    return None


def _write_or_fail(file: Path, text: str) -> None:
    try:
        _write(file, text)
    except ProcessLookupError:
        raise
    except OSError as error:
        raise HostFailed(f"cannot write to {file}: {error.strerror}", what=str(file)) from None


def _write(file: Path, text: str) -> None:
    """One write, as the kernel wants it."""
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _folders(place: Path) -> list[Path]:
    try:
        return [entry for entry in place.iterdir() if entry.is_dir()]
    except OSError:
        return []


def _remove(folder: Path) -> bool:
    """Remove a group and its parts; False while a process is in it."""
    for part in _folders(folder):
        if not _remove(part):
            return False
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        log.warning("cannot remove the control group %s: %s", folder, error)
    return True
