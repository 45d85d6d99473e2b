"""Limits of a disk's I/O: <iotune>."""

from __future__ import annotations

from collections.abc import Iterator

from frontinus.xml import Model, xml
from frontinus.xml.codecs import Int

MAX = 10**15
"""The highest rate that QEMU takes."""
RATES = ("bytes", "iops")
LENGTHS = tuple(f"{way}_{rate}_sec_max_length" for rate in RATES for way in ("total", "read", "write"))


class IoTune(Model, tag="iotune"):
    """Rates per second, their bursts, and the bursts' lengths in seconds. Disks of one group share its limits."""

    total_bytes_sec: int | None = xml("total_bytes_sec", Int)
    read_bytes_sec: int | None = xml("read_bytes_sec", Int)
    write_bytes_sec: int | None = xml("write_bytes_sec", Int)
    total_iops_sec: int | None = xml("total_iops_sec", Int)
    read_iops_sec: int | None = xml("read_iops_sec", Int)
    write_iops_sec: int | None = xml("write_iops_sec", Int)
    total_bytes_sec_max: int | None = xml("total_bytes_sec_max", Int)
    read_bytes_sec_max: int | None = xml("read_bytes_sec_max", Int)
    write_bytes_sec_max: int | None = xml("write_bytes_sec_max", Int)
    total_iops_sec_max: int | None = xml("total_iops_sec_max", Int)
    read_iops_sec_max: int | None = xml("read_iops_sec_max", Int)
    write_iops_sec_max: int | None = xml("write_iops_sec_max", Int)
    size_iops_sec: int | None = xml("size_iops_sec", Int)
    group_name: str | None = xml("group_name")
    total_bytes_sec_max_length: int | None = xml("total_bytes_sec_max_length", Int)
    read_bytes_sec_max_length: int | None = xml("read_bytes_sec_max_length", Int)
    write_bytes_sec_max_length: int | None = xml("write_bytes_sec_max_length", Int)
    total_iops_sec_max_length: int | None = xml("total_iops_sec_max_length", Int)
    read_iops_sec_max_length: int | None = xml("read_iops_sec_max_length", Int)
    write_iops_sec_max_length: int | None = xml("write_iops_sec_max_length", Int)

    def limits(self) -> dict[str, int]:
        """Every number that is set, by the element's name."""
        values = {name: getattr(self, name) for name in self._specs if name != "group_name"}
        return {name: value for name, value in values.items() if value}

    @property
    def has_limits(self) -> bool:
        """Whether anything is limited; the name of a group alone limits nothing."""
        return bool(self.limits())

    def complete(self) -> None:
        """Leave out zeros: they mean no limit."""
        for name in self._specs:
            setattr(self, name, getattr(self, name) or None)

    def check(self) -> Iterator[str]:
        """Reasons why these limits cannot be."""
        for suffix in ("sec", "sec_max"):
            for rate in RATES:
                total, read, write = (getattr(self, f"{way}_{rate}_{suffix}") for way in ("total", "read", "write"))
                if total and (read or write):
                    yield f"<iotune>: {rate}_{suffix} is limited in total and for reads or writes at the same time"
        yield from self._check_bursts()
        if self.group_name and not self.has_limits:
            yield "<iotune>: a group without limits"
        for name, value in self.limits().items():
            if value > MAX and name not in LENGTHS:
                yield f"<iotune>: <{name}> is more than {MAX}"
            if name in LENGTHS and value > 1 and not getattr(self, name.removesuffix("_length")):
                yield f"<iotune>: <{name}> needs <{name.removesuffix('_length')}>"

    def _check_bursts(self) -> Iterator[str]:
        """QEMU's throttle_is_valid: a burst is above a rate."""
        limits = self.limits()
        for name, burst in limits.items():
            rate = name.removesuffix("_max")
            if rate != name and burst < limits.get(rate, burst + 1):
                yield f"<iotune>: <{name}> needs a <{rate}> that is not above it"


class ThrottleGroup(IoTune, tag="throttlegroup"):
    """Limits with a name, beside the disks; any number of a disk's filters may refer to it."""


class ThrottleFilter(Model, tag="throttlefilter"):
    """One of the groups whose limits a disk keeps, the first nearest to the guest."""

    group: str = xml("@group", required=True)


def check_groups(groups: list[ThrottleGroup]) -> Iterator[str]:
    """Reasons why the groups of a guest cannot be."""
    names = [group.group_name for group in groups]
    for group in groups:
        if not group.group_name:
            yield "<throttlegroup>: <group_name> is missing"
        elif names.count(group.group_name) > 1:
            yield f"<throttlegroup>: '{group.group_name}' is defined twice"
        yield from group.check()
