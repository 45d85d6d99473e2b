"""libvirt's typed parameters, both ways: a row a parameter, with the member of the facade's struct that it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
from dbus_fast import Variant

from frontinus.api.errors import InvalidValue
from frontinus.api.node import NodeMemoryParameters
from frontinus.api.tuning import (
    NO_LIMIT,
    BlkioDevice,
    BlkioParameters,
    BlockIoTune,
    InterfaceParameters,
    MemoryParameters,
    NumaParameters,
    Rate,
    SchedulerParameters,
)
from frontinus_dbus.libvirt.figures import double

KIB = 1024
UNLIMITED = 9007199254740991
"""KiB that stand for no limit of memory."""
MODES = ("strict", "preferred", "interleave", "restrictive")

S = TypeVar("S", bound=msgspec.Struct)
Given = Mapping[str, Variant]


@dataclass(frozen=True)
class Row:
    """A parameter, the member that it is, its type, and what is shown where nothing is set."""

    name: str
    member: str
    signature: str = "t"
    default: int | str | None = None


def plain(value: object) -> object:
    """What is in a variant, however many it is wrapped in."""
    while isinstance(value, Variant):
        value = value.value
    return value


def whole(name: str, value: object) -> int:
    """A number from a client, of whichever type. Raises InvalidValue."""
    found = plain(value)
    if not isinstance(found, int):
        raise InvalidValue(f"parameter '{name}' is a number", field=name)
    return int(found)


def text(name: str, value: object) -> str:
    """A text from a client. Raises InvalidValue."""
    found = plain(value)
    if not isinstance(found, str):
        raise InvalidValue(f"parameter '{name}' is a text", field=name)
    return found


@dataclass(frozen=True)
class Family(Generic[S]):
    """Parameters that are members of one struct, a row each."""

    kind: type[S]
    rows: Sequence[Row]

    def show(self, values: S) -> dict[str, Variant]:
        shown: dict[str, Variant] = {}
        for row in self.rows:
            value = getattr(values, row.member)
            value = row.default if value is None else value
            if value is not None:
                shown[row.name] = double(Variant(row.signature, int(value) if isinstance(value, bool) else value))
        return shown

    def read(self, given: Given) -> S:
        """Raises InvalidValue for a parameter that is not of the family, or of another type."""
        known = {row.name: row for row in self.rows}
        members: dict[str, object] = {}
        for name, value in given.items():
            row = known.get(name)
            if row is None:
                raise InvalidValue(f"parameter '{name[:60]}' is not supported", field=name[:60])
            members[row.member] = text(name, value) if row.signature == "s" else whole(name, value)
        return msgspec.convert(members, self.kind, strict=False)


SCHEDULER = Family(SchedulerParameters, (
    Row("cpu_shares", "shares", default=1024),
    *(Row(f"{who}_{what}", f"{'' if who == 'vcpu' else who + '_'}{what}", signature, default)
      for who in ("vcpu", "emulator", "global", "iothread")
      for what, signature, default in (("period", "t", 100000), ("quota", "x", NO_LIMIT))),
))  # fmt: skip
BLOCK_IO_TUNE = Family(BlockIoTune, tuple(
    Row(name, name, "s") if name == "group_name" else Row(name, name, default=0) for name in BlockIoTune.__struct_fields__
))  # fmt: skip
NODE_MEMORY = Family(NodeMemoryParameters, (
    Row("shm_pages_to_scan", "pages_to_scan", "u"), Row("shm_sleep_millisecs", "sleep_millisecs", "u"),
    Row("shm_pages_shared", "pages_shared"), Row("shm_pages_sharing", "pages_sharing"),
    Row("shm_pages_unshared", "pages_unshared"), Row("shm_pages_volatile", "pages_volatile"),
    Row("shm_full_scans", "full_scans"), Row("shm_merge_across_nodes", "merge_across_nodes", "u"),
))  # fmt: skip
READ_ONLY = frozenset({"shm_pages_shared", "shm_pages_sharing", "shm_pages_unshared", "shm_pages_volatile",
                       "shm_full_scans"})  # fmt: skip


class Memory:
    """Limits in KiB, UNLIMITED for none."""

    @staticmethod
    def show(values: MemoryParameters) -> dict[str, Variant]:
        shown = {name: getattr(values, name) for name in MemoryParameters.__struct_fields__}
        return {name: double(Variant("t", UNLIMITED if value in (None, NO_LIMIT) else value // KIB))
                for name, value in shown.items()}  # fmt: skip

    @staticmethod
    def read(given: Given) -> MemoryParameters:
        values: dict[str, int] = {}
        for name, value in given.items():
            if name not in MemoryParameters.__struct_fields__:
                raise InvalidValue(f"parameter '{name[:60]}' is not supported", field=name[:60])
            number = whole(name, value)
            values[name] = NO_LIMIT if not 0 <= number < UNLIMITED else number * KIB
        return MemoryParameters(**values)


class Numa:
    """The mode by its number."""

    @staticmethod
    def show(values: NumaParameters) -> dict[str, Variant]:
        nodes = ranges(values.nodes or ())
        return {"numa_nodeset": double(Variant("s", nodes)),
                "numa_mode": double(Variant("i", MODES.index(values.mode or "strict")))}  # fmt: skip

    @staticmethod
    def read(given: Given) -> NumaParameters:
        mode, nodes = None, None
        for name, value in given.items():
            if name == "numa_mode":
                number = whole(name, value)
                if not 0 <= number < len(MODES):
                    raise InvalidValue(f"unknown NUMA mode {number}", field=name)
                mode = MODES[number]
            elif name == "numa_nodeset":
                nodes = numbers(text(name, value))
            else:
                raise InvalidValue(f"parameter '{name[:60]}' is not supported", field=name[:60])
        return NumaParameters(mode=mode, nodes=nodes)


def ranges(found: Sequence[int]) -> str:
    """0-3,5."""
    runs: list[list[int]] = []
    for number in sorted(found):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def numbers(words: str) -> tuple[int, ...]:
    """The numbers of 0-3,5. Raises InvalidValue."""
    found: set[int] = set()
    for word in words.split(","):
        first, _, last = word.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or int(last or first) > 4096:
            raise InvalidValue(f"'{words[:60]}' is no list of nodes", field="numa_nodeset")
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


DEVICES: Mapping[str, str] = {
    "device_weight": "weight", "device_read_iops_sec": "read_iops", "device_write_iops_sec": "write_iops",
    "device_read_bytes_sec": "read_bytes", "device_write_bytes_sec": "write_bytes",
}  # fmt: skip
"""Parameters that are lists "path,value,path,value", and the member of BlkioDevice that each is."""


class Blkio:
    """A weight, and lists by device."""

    @staticmethod
    def show(values: BlkioParameters) -> dict[str, Variant]:
        shown = {"weight": double(Variant("u", values.weight or 0))}
        for name, member in DEVICES.items():
            pairs = [f"{d.path},{value}" for d in values.devices if (value := getattr(d, member))]
            shown[name] = double(Variant("s", ",".join(pairs)))
        return shown

    @staticmethod
    def read(given: Given) -> BlkioParameters:
        weight = None
        devices: dict[str, dict[str, int]] = {}
        for name, value in given.items():
            if name == "weight":
                weight = whole(name, value)
            elif name in DEVICES:
                for path, number in pairs(name, text(name, value)):
                    devices.setdefault(path, {})[DEVICES[name]] = number
            else:
                raise InvalidValue(f"parameter '{name[:60]}' is not supported", field=name[:60])
        return BlkioParameters(weight=weight, devices=tuple(BlkioDevice(path=p, **v) for p, v in devices.items()))


def pairs(name: str, words: str) -> list[tuple[str, int]]:
    """The pairs of "path,value,path,value". Raises InvalidValue."""
    parts = words.split(",") if words else []
    if len(parts) % 2 or not all(number.strip().isdecimal() for number in parts[1::2]):
        raise InvalidValue(f"parameter '{name}' is a list of paths, each with its value", field=name)
    return [(path, int(number)) for path, number in zip(parts[::2], parts[1::2], strict=True)]


class Bandwidth:
    """Rates: inbound.average and the like."""

    @staticmethod
    def show(values: InterfaceParameters) -> dict[str, Variant]:
        shown: dict[str, Variant] = {}
        for direction, members in (("inbound", ("average", "peak", "burst", "floor")),
                                   ("outbound", ("average", "peak", "burst"))):  # fmt: skip
            rate = getattr(values, direction) or Rate()
            for member in members:
                shown[f"{direction}.{member}"] = double(Variant("u", getattr(rate, member) or 0))
        return shown

    @staticmethod
    def read(given: Given) -> InterfaceParameters:
        rates: dict[str, dict[str, int]] = {}
        for name, value in given.items():
            direction, _, member = name.partition(".")
            if direction not in ("inbound", "outbound") or member not in Rate.__struct_fields__:
                raise InvalidValue(f"parameter '{name[:60]}' is not supported", field=name[:60])
            rates.setdefault(direction, {})[member] = whole(name, value)
        return InterfaceParameters(**{direction: Rate(**members) for direction, members in rates.items()})


def node_memory(given: Given) -> NodeMemoryParameters:
    """What is to be set of the host. Raises InvalidValue for what can only be read."""
    for name in set(given) & READ_ONLY:
        raise InvalidValue(f"parameter '{name}' can only be read", field=name)
    return NODE_MEMORY.read(given)
