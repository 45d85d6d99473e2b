"""Where a guest's threads run, and what it may take of its host."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from frontinus.api.engine import Engine
from frontinus.client.commands.base import GUEST, SCOPE, Command, Output, arg, size

NO_LIMIT = -1


def numbers(text: str) -> list[int]:
    """An argparse type: a list of CPUs or nodes such as 0-3,^2,7."""
    chosen: set[int] = set()
    for word in text.split(","):
        gone = word.startswith("^")
        first, _, last = word.removeprefix("^").partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) > 65535:
            raise argparse.ArgumentTypeError(f"'{text}' is no list such as 0-3,7")
        found = set(range(int(first), int(last or first) + 1))
        chosen = chosen - found if gone else chosen | found
    return sorted(chosen)


def limit(text: str) -> int:
    """An argparse type: a size in KiB or with its unit, or -1 for no limit."""
    return NO_LIMIT if text == "-1" else size()(text)


def listed(found: Sequence[int]) -> str:
    """0-3,7."""
    runs: list[list[int]] = []
    for number in sorted(found):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _scope(options: argparse.Namespace) -> tuple[bool, bool]:
    return options.live, options.config


def _stored(options: argparse.Namespace) -> bool:
    return bool(options.config and not options.live)


async def _vcpupin(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.cpulist is not None:
        await engine.pin_vcpu(options.guest, options.vcpu, options.cpulist, *_scope(options))
        return
    pins = [pin for pin in await engine.vcpu_pins(options.guest, _stored(options)) if options.vcpu in (None, pin.vcpu)]
    out.value(pins)
    out.table(["VCPU", "CPU Affinity"], [[pin.vcpu, listed(pin.cpus)] for pin in pins])


async def _emulatorpin(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    if options.cpulist is not None:
        await engine.pin_emulator(options.guest, options.cpulist, *_scope(options))
        return
    cpus = await engine.emulator_pin(options.guest, _stored(options))
    out.value(cpus)
    out.line("emulator: CPU Affinity")
    out.line("----------------------------------")
    out.line(f"       *: {listed(cpus)}")


async def _iothreadinfo(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    threads = await engine.iothreads(options.guest, _stored(options))
    out.value(threads)
    if not threads:
        out.line("No IOThreads found for the domain")
        return
    out.table(["IOThread ID", "CPU Affinity"], [[thread.id, listed(thread.cpus)] for thread in threads])


async def _iothreadpin(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.pin_iothread(options.guest, options.iothread, options.cpulist, *_scope(options))


async def _iothreadadd(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.add_iothread(options.guest, options.id, *_scope(options))


async def _iothreaddel(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    await engine.del_iothread(options.guest, options.id, *_scope(options))


async def _iothreadset(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.api.tuning import IothreadParameters

    values = IothreadParameters(**given(options, IothreadParameters.__struct_fields__))
    await engine.set_iothread(options.guest, options.id, values, *_scope(options))


def given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


async def _family(names: Mapping[str, str], options: argparse.Namespace, out: Output,
                  ask: Callable[[], Awaitable[Any]], act: Callable[[dict[str, Any]], Awaitable[None]],
                  show: Callable[[str, Any], str]) -> None:  # fmt: skip
    """Set what was given, or show all: `names` are the words shown, by member."""
    if changes := given(options, list(names)):
        await act(changes)
        return
    values = await ask()
    out.value(values)
    for member, word in names.items():
        out.line(f"{word.ljust(15)}: {show(member, getattr(values, member))}")


SCHEDULER = {
    "shares": "cpu_shares", "period": "vcpu_period", "quota": "vcpu_quota", "emulator_period": "emulator_period",
    "emulator_quota": "emulator_quota", "global_period": "global_period", "global_quota": "global_quota",
    "iothread_period": "iothread_period", "iothread_quota": "iothread_quota",
}  # fmt: skip


def _setting(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    members = {word: member for member, word in SCHEDULER.items()}
    if name not in members or not value.removeprefix("-").isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' is not such as cpu_shares=1024; known are {', '.join(members)}")
    return members[name], int(value)


async def _schedinfo(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.api.tuning import SchedulerParameters

    if options.set:
        await engine.set_scheduler_parameters(options.guest, SchedulerParameters(**dict(options.set)), *_scope(options))
    values = await engine.scheduler_parameters(options.guest, _stored(options))
    out.value(values)
    out.line("Scheduler      : posix")
    for member, word in SCHEDULER.items():
        value = getattr(values, member)
        out.line(f"{word.ljust(15)}: {'-' if value is None else value}")


MEMORY = {"hard_limit": "hard_limit", "soft_limit": "soft_limit", "swap_hard_limit": "swap_hard_limit"}


async def _memtune(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.api.tuning import MemoryParameters

    await _family(
        MEMORY, options, out, lambda: engine.memory_parameters(options.guest, _stored(options)),
        lambda changes: engine.set_memory_parameters(options.guest, MemoryParameters(**changes), *_scope(options)),
        lambda name, value: "unlimited" if value in (None, NO_LIMIT) else f"{value // 1024}")  # fmt: skip


RATES = {"device_weights": "weight", "device_read_iops_sec": "read_iops", "device_write_iops_sec": "write_iops",
         "device_read_bytes_sec": "read_bytes", "device_write_bytes_sec": "write_bytes"}  # fmt: skip


def _pairs(text: str) -> list[tuple[str, int]]:
    words = text.split(",")
    if len(words) % 2 or not all(word.isdecimal() for word in words[1::2]):
        raise argparse.ArgumentTypeError(f"'{text}' is not such as /dev/sda,1000,/dev/sdb,500")
    return [(path, int(value)) for path, value in zip(words[::2], words[1::2], strict=True)]


async def _blkiotune(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.api.tuning import BlkioDevice, BlkioParameters

    devices: dict[str, dict[str, int]] = {}
    for option, member in RATES.items():
        for path, value in getattr(options, option) or ():
            devices.setdefault(path, {})[member] = value
    if options.weight is not None or devices:
        values = BlkioParameters(
            weight=options.weight, devices=tuple(BlkioDevice(path=p, **v) for p, v in devices.items())
        )
        await engine.set_blkio_parameters(options.guest, values, *_scope(options))
        return
    found = await engine.blkio_parameters(options.guest, _stored(options))
    out.value(found)
    out.line(f"weight         : {found.weight or 0}")
    for option, member in RATES.items():
        words = [f"{d.path},{value}" for d in found.devices if (value := getattr(d, member))]
        out.line(f"{option.rstrip('s') if option == 'device_weights' else option}: {','.join(words)}")


async def _numatune(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.api.tuning import NumaParameters

    if options.mode or options.nodeset:
        nodes = tuple(options.nodeset) if options.nodeset else None
        await engine.set_numa_parameters(
            options.guest, NumaParameters(mode=options.mode, nodes=nodes), *_scope(options)
        )
        return
    found = await engine.numa_parameters(options.guest, _stored(options))
    out.value(found)
    out.line(f"numa_mode      : {found.mode or 'strict'}")
    out.line(f"numa_nodeset   : {listed(found.nodes or ())}")


def _rate(text: str) -> dict[str, int]:
    words = text.split(",")
    if not 1 <= len(words) <= 4 or not all(word.isdecimal() or not word for word in words):
        raise argparse.ArgumentTypeError(f"'{text}' is not average,peak,burst,floor")
    return {name: int(word) for name, word in zip(("average", "peak", "burst", "floor"), words, strict=False) if word}


async def _domiftune(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.api.tuning import InterfaceParameters, Rate

    changes = {name: Rate(**rate) for name, rate in given(options, ("inbound", "outbound")).items()}
    if changes:
        values = InterfaceParameters(**changes)
        await engine.set_interface_parameters(options.guest, options.interface, values, *_scope(options))
        return
    found = await engine.interface_parameters(options.guest, options.interface, _stored(options))
    out.value(found)
    for direction, members in (
        ("inbound", ("average", "peak", "burst", "floor")),
        ("outbound", ("average", "peak", "burst")),
    ):
        rate = getattr(found, direction)
        for member in members:
            out.line(f"{direction}.{member}: {getattr(rate, member, None) or 0}")


TOTALS = ("total_bytes_sec", "read_bytes_sec", "write_bytes_sec", "total_iops_sec", "read_iops_sec", "write_iops_sec",
          "total_bytes_sec_max", "read_bytes_sec_max", "write_bytes_sec_max", "total_iops_sec_max", "read_iops_sec_max",
          "write_iops_sec_max", "size_iops_sec", "total_bytes_sec_max_length", "read_bytes_sec_max_length",
          "write_bytes_sec_max_length", "total_iops_sec_max_length", "read_iops_sec_max_length",
          "write_iops_sec_max_length")  # fmt: skip


async def _blkdeviotune(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    from frontinus.api.tuning import BlockIoTune

    if changes := given(options, (*TOTALS, "group_name")):
        await engine.set_block_io_tune(options.guest, options.device, BlockIoTune(**changes), *_scope(options))
        return
    found = await engine.block_io_tune(options.guest, options.device, _stored(options))
    out.value(found)
    for name in TOTALS:
        out.line(f"{name.ljust(15)}: {getattr(found, name) or 0}")
    out.line(f"group_name     : {found.group_name or ''}")


async def _perf(engine: Engine, options: argparse.Namespace, out: Output) -> None:
    changes = dict.fromkeys((options.enable or "").split(","), True) | dict.fromkeys(
        (options.disable or "").split(","), False
    )
    changes.pop("", None)
    if changes:
        await engine.set_perf_events(options.guest, changes, *_scope(options))
        return
    found = await engine.perf_events(options.guest, _stored(options))
    out.value(found)
    for name, on in sorted(found.items()):
        out.line(f"{name.ljust(15)}: {'enabled' if on else 'disabled'}")


CPUS = arg("cpulist", nargs="?", type=numbers, help="CPUs of the host, such as 0-3,7; without it they are shown")


COMMANDS = (
    Command("vcpupin", "show or choose the host's CPUs of vCPUs", (
        GUEST, arg("vcpu", nargs="?", type=int), CPUS, *SCOPE), _vcpupin),
    Command("emulatorpin", "show or choose the host's CPUs of all but vCPUs and I/O threads", (GUEST, CPUS, *SCOPE), _emulatorpin),
    Command("iothreadinfo", "show a guest's I/O threads", (GUEST, *SCOPE), _iothreadinfo),
    Command("iothreadpin", "choose the host's CPUs of an I/O thread", (
        GUEST, arg("iothread", type=int), arg("cpulist", type=numbers), *SCOPE), _iothreadpin),
    Command("iothreadadd", "add an I/O thread", (GUEST, arg("id", type=int), *SCOPE), _iothreadadd),
    Command("iothreadset", "set how an I/O thread polls, and its workers", (
        GUEST, arg("id", type=int), arg("--poll-max-ns", type=int), arg("--poll-grow", type=int), arg("--poll-shrink", type=int),
        arg("--thread-pool-min", type=int), arg("--thread-pool-max", type=int), *SCOPE), _iothreadset),
    Command("iothreaddel", "remove an I/O thread", (GUEST, arg("id", type=int), *SCOPE), _iothreaddel),
    Command("schedinfo", "show or set shares and limits of CPU time", (
        GUEST, arg("--set", action="append", type=_setting, help="such as cpu_shares=1024"), *SCOPE), _schedinfo),
    Command("memtune", "show or set limits of memory", (
        GUEST, *(arg(f"--{name.replace('_', '-')}", type=limit, help="KiB, or with its unit; -1: none") for name in MEMORY),
        *SCOPE), _memtune),
    Command("blkiotune", "show or set the share of block I/O", (
        GUEST, arg("--weight", type=int),
        *(arg(f"--{name.replace('_', '-')}", type=_pairs, help="such as /dev/sda,1000") for name in RATES), *SCOPE), _blkiotune),
    Command("numatune", "show or set where memory comes from", (
        GUEST, arg("--mode", choices=["strict", "preferred", "interleave", "restrictive"]),
        arg("--nodeset", type=numbers), *SCOPE), _numatune),
    Command("domiftune", "show or set limits of a NIC", (
        GUEST, arg("interface"), arg("--inbound", type=_rate, help="average,peak,burst,floor in kB/s and kB"),
        arg("--outbound", type=_rate), *SCOPE), _domiftune),
    Command("blkdeviotune", "show or set limits of a disk", (
        GUEST, arg("device"), *(arg(f"--{name.replace('_', '-')}", type=size("b")) for name in TOTALS), arg("--group-name"),
        *SCOPE), _blkdeviotune),
    Command("perf", "show performance events", (GUEST, arg("--enable"), arg("--disable"), *SCOPE), _perf),
)  # fmt: skip
