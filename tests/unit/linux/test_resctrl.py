"""Shares of caches and bandwidth: the plan from a host's facts, and the act on folders that behave like the kernel's."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.errors import HostFailed, Unsupported
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import Paths
from frontinus.domain.resctrl import (
    BandwidthFacts,
    CacheFacts,
    Group,
    ResctrlFacts,
    Share,
    free_run,
    groups,
    parse_schemata,
    shares,
)
from frontinus.linux.cgroups import Cgroups
from frontinus.linux.resctrl import Resctrl
from frontinus.ports.limits import Threads

MIB = 2**20
FACTS = ResctrlFacts(
    caches={"L3": CacheFacts(0xFFFFF, 2, {0: 20 * MIB, 1: 20 * MIB})}, bandwidth=BandwidthFacts(10, 10),
    usual={"L3": {0: 0x000FF, 1: 0xFFFFF}, "MB": {0: 100, 1: 100}},
    monitors=frozenset({"llc_occupancy", "mbm_total_bytes", "mbm_local_bytes", "core_energy"}),
)  # fmt: skip


def cache(size: int = 4, number: int = 0, level: int = 3, type: str = "both", unit: str = "MiB") -> str:
    return f"<cache id='{number}' level='{level}' type='{type}' size='{size}' unit='{unit}'/>"


def asked(tune: str) -> list[Share]:
    return shares(parse_guest(f"<domain type='kvm'><name>a</name><vcpu>4</vcpu><cputune>{tune}</cputune></domain>"))


def test_a_share_is_a_part_that_nobody_else_has() -> None:
    wanted = asked(f"<cachetune vcpus='0-1'>{cache()}<monitor level='3' vcpus='0'/><monitor level='3' vcpus='0-1'/></cachetune>"
                   "<memorytune vcpus='0-1'><node id='1' bandwidth='60'/></memorytune>"
                   f"<cachetune vcpus='3'>{cache(2)}</cachetune>")  # fmt: skip
    assert groups(wanted, FACTS) == [
        Group("vcpus_0-1", (0, 1), ("L3:0=f00;1=fffff", "MB:0=100;1=60"), ((0,),)),
        Group("vcpus_3", (3,), ("L3:0=3000;1=fffff", "MB:0=100;1=100")),
    ]


def test_what_asks_for_no_share_is_only_measured() -> None:
    assert groups(asked("<cachetune vcpus='0-1'><monitor level='3' vcpus='0-1'/></cachetune>"), FACTS) == [
        Group("vcpus_0-1", (0, 1), (), ((0, 1),))]  # fmt: skip
    assert groups(asked("<energytune vcpus='2'><monitor vcpus='2'/></energytune>"), FACTS) == [
        Group("vcpus_2", (2,), (), ((2,),))]  # fmt: skip
    assert asked("<cachetune vcpus='0'/>") == [], "nothing is promised"


def test_a_whole_that_is_measured_beside_its_part_has_a_group_of_its_own() -> None:
    """Where both lay in the default group, the part's threads would not count in the whole."""
    both = "<monitor level='3' vcpus='0-1'/><monitor level='3' vcpus='0'/>"
    assert groups(asked(f"<cachetune vcpus='0-1'>{both}</cachetune>"), FACTS) == [
        Group("vcpus_0-1", (0, 1), ("L3:0=ff;1=fffff", "MB:0=100;1=100"), ((0,),))]  # fmt: skip


TAKEN = ({"L3": {0: 0x3F000}, "MB": {0: 70}}, {"MB": {0: 100}})


@pytest.mark.parametrize(("tune", "reason"), [
    (f"<cachetune vcpus='0'>{cache(level=2)}</cachetune>", "level='2'.*cannot share such caches$"),
    (f"<cachetune vcpus='0'>{cache(type='code')}</cachetune>", "type='code'.*code and data together"),
    (f"<cachetune vcpus='0'>{cache(number=5)}</cachetune>", "id='5'.*no such cache"),
    (f"<cachetune vcpus='0'>{cache(1500, unit='KiB')}</cachetune>", "multiple of 1024 KiB"),
    (f"<cachetune vcpus='0'>{cache(1)}</cachetune>", "less than 2048 KiB"),
    (f"<cachetune vcpus='0'>{cache(number=1)}</cachetune>", "what the default group has.*shared with nobody"),
    (f"<cachetune vcpus='0'>{cache(5)}</cachetune>", "not so much of the cache is left"),
    (f"<cachetune vcpus='0'>{cache(4)}</cachetune><cachetune vcpus='1'>{cache(3)}</cachetune>", "not so much"),
    ("<memorytune vcpus='0'><node id='7' bandwidth='60'/></memorytune>", "no such node"),
    ("<memorytune vcpus='0'><node id='1' bandwidth='65'/></memorytune>", "not a multiple of 10"),
    ("<memorytune vcpus='0'><node id='0' bandwidth='40'/></memorytune>", "only 30 percent are left"),
    ("<energytune vcpus='0'><monitor vcpus='0'/></energytune>", "energytune.*cannot measure"),
])  # fmt: skip
def test_what_a_host_has_not_is_refused_by_its_name(tune: str, reason: str) -> None:
    host = ResctrlFacts(FACTS.caches, FACTS.bandwidth, FACTS.usual, TAKEN, FACTS.monitors - {"core_energy"})
    with pytest.raises(Unsupported, match=reason):
        groups(asked(tune), host)


def test_a_host_that_keeps_code_and_data_apart_has_no_line_for_both() -> None:
    split = {"L3CODE": FACTS.caches["L3"], "L3DATA": FACTS.caches["L3"]}
    host = ResctrlFacts(split, usual={"L3CODE": {0: 0xFF}, "L3DATA": {0: 0xFFF}})
    with pytest.raises(Unsupported, match="code and data apart"):
        groups(asked(f"<cachetune vcpus='0'>{cache()}</cachetune>"), host)
    (group,) = groups(asked(f"<cachetune vcpus='0'>{cache(2, type='code')}{cache(3, type='data')}</cachetune>"), host)
    assert group.schemata == ("L3CODE:0=300", "L3DATA:0=7000")


@pytest.mark.parametrize(("bandwidth", "usual", "reason"), [
    (None, {}, "cannot limit"), (BandwidthFacts(), {"MB": {0: 2048}}, "percent"),
])  # fmt: skip
def test_bandwidth_that_is_not_counted_in_percent(
    bandwidth: BandwidthFacts | None, usual: dict[str, dict[int, int]], reason: str
) -> None:
    with pytest.raises(Unsupported, match=reason):
        groups(asked("<memorytune vcpus='0'><node id='0' bandwidth='50'/></memorytune>"),
               ResctrlFacts(bandwidth=bandwidth, usual=usual))  # fmt: skip


@given(st.integers(0, 2**20 - 1), st.integers(1, 20))
def test_a_run_is_free_and_adjoining_wherever_there_is_one(free: int, bits: int) -> None:
    found = free_run(free, bits)
    possible = [((1 << bits) - 1) << low for low in range(20) if (((1 << bits) - 1) << low) & ~free == 0]
    assert found in possible if possible else found is None


def test_schemata_are_read_as_the_kernel_pads_them() -> None:
    assert parse_schemata("    L3:0=fffff;1=000ff\n    MB:0= 100;1=  60\n  SMBA:0=2048\n    L3:1=0000f\n") == {
        "L3": {0: 0xFFFFF, 1: 0xF}, "MB": {0: 100, 1: 60}}  # fmt: skip
    assert parse_schemata("L2:uninitialized\nMB:0=10\n") == {"L2": {}, "MB": {0: 10}}, "a pseudo-locked region"


# --- the act

GUEST = "/var/lib/frontinus/domain-1-g"
THREADS = Threads(1, {0: 10, 1: 11, 2: 12}, {})
INFO = {
    "L3/cbm_mask": "fffff", "L3/min_cbm_bits": "1", "MB/min_bandwidth": "10", "MB/bandwidth_gran": "10",
    "L3_MON/mon_features": "llc_occupancy\nmbm_total_bytes\n", "PERF_PKG_MON/mon_features": "core_energy\nactivity\n",
    "last_cmd_status": "ok",
}  # fmt: skip
MEASURED = {
    "mon_L3_00/llc_occupancy": "4096",
    "mon_L3_01/llc_occupancy": "Unavailable",
    "mon_PERF_PKG_00/core_energy": "12.5",
}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def fill(place: Path) -> None:
    """What the kernel puts into a group that was made."""
    measured = {f"mon_data/{file}": value for file, value in MEASURED.items()}
    for name, text in {"schemata": "L3:0=fffff\nMB:0=100", "tasks": "", **measured}.items():
        write(place / name, text)
    (place / "mon_groups").mkdir()


def kernel(root: Path) -> None:
    """A folder that looks like resctrl where the default group was made smaller, and the host's caches."""
    for name, text in INFO.items():
        write(root / "resctrl/info" / name, text)
    fill(root / "resctrl")
    write(root / "resctrl/schemata", "    L3:0=00fff;1=00fff\n    MB:0=100;1=100")
    for cpu, number in ((0, 0), (1, 1)):
        for name, text in {"level": "3", "id": str(number), "size": "20480K"}.items():
            write(root / f"cpus/cpu{cpu}/cache/index3" / name, text)


def made(root: Path) -> Resctrl:
    def make(place: Path) -> None:
        place.mkdir()
        fill(place)

    return Resctrl("frontinus", root / "resctrl", root / "cpus", make=make, drop=shutil.rmtree)


def tasks(place: Path) -> list[str]:
    return (place / "tasks").read_text().split()


TUNE = (f"<cachetune vcpus='0-1'>{cache(3)}<monitor level='3' vcpus='0'/></cachetune>"
        "<energytune vcpus='2-3'><monitor vcpus='2-3'/></energytune>")  # fmt: skip


async def test_groups_come_and_go_with_their_guest(tmp_path: Path) -> None:
    kernel(tmp_path)
    limits, root = Cgroups(Paths(), "", made(tmp_path)), tmp_path / "resctrl"
    await limits.allocate(GUEST, asked(TUNE), THREADS)
    share = root / "frontinus@domain-1-g@vcpus_0-1"
    energy = root / "mon_groups/frontinus@domain-1-g@vcpus_2-3@vcpus_2-3"
    assert parse_schemata((share / "schemata").read_text())["L3"] == {0: 0x7000, 1: 0xFFF}
    assert tasks(share) == ["10", "11"] and tasks(share / "mon_groups/vcpus_0") == ["10"] and tasks(energy) == ["12"]
    assert limits.measured(GUEST, (0,), "llc_occupancy") == {0: 4096.0}
    assert limits.measured(GUEST, (2, 3), "core_energy") == {0: 12.5}
    assert limits.measured(GUEST, (1,), "llc_occupancy") == {}
    await limits.allocate(GUEST, asked(TUNE), Threads(1, {**THREADS.vcpus, 3: 13}, {}))
    assert tasks(energy)[-1] == "13", "a vCPU that was plugged in joins its group"
    other = "/var/lib/frontinus/domain-1-g2"
    await limits.allocate(other, asked(f"<cachetune vcpus='0'>{cache(5)}</cachetune>"), THREADS)
    taken = parse_schemata((root / "frontinus@domain-1-g2@vcpus_0/schemata").read_text())["L3"][0]
    assert taken == 0xF8000
    await limits.remove(GUEST)
    assert not share.exists() and not energy.exists() and (root / "frontinus@domain-1-g2@vcpus_0").exists()
    await limits.remove(GUEST)


async def test_a_group_that_cannot_be_removed_keeps_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kernel(tmp_path)

    def drop(place: Path) -> None:
        if place.name.endswith("vcpus_0"):
            raise PermissionError(1, "Operation not permitted", str(place))
        shutil.rmtree(place)

    resctrl = made(tmp_path)
    resctrl.allocate(GUEST, asked("".join(f"<cachetune vcpus='{n}'>{cache(2)}</cachetune>" for n in (0, 1))), THREADS)
    refused = Resctrl("frontinus", tmp_path / "resctrl", tmp_path / "cpus", drop=drop)
    refused.remove(GUEST)
    left = {place.name for place in (tmp_path / "resctrl").iterdir() if "@" in place.name}
    assert left == {"frontinus@domain-1-g@vcpus_0"} and "cannot remove" in caplog.text


def test_another_program_s_lock_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel(tmp_path)
    monkeypatch.setattr("frontinus.linux.resctrl.LOCK_SECONDS", 0)
    fd = os.open(tmp_path / "resctrl", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(HostFailed, match="another program holds the lock"):
        made(tmp_path).allocate(GUEST, asked(f"<cachetune vcpus='0'>{cache(2)}</cachetune>"), THREADS)
    os.close(fd)
    made(tmp_path).allocate(GUEST, asked(f"<cachetune vcpus='0'>{cache(2)}</cachetune>"), THREADS)


async def test_an_engine_that_comes_back_removes_what_belongs_to_nobody(tmp_path: Path) -> None:
    kernel(tmp_path)
    root = tmp_path / "resctrl"
    for other in ("somebody's", "frontinus-1a2b@domain-1-g@vcpus_0"):
        fill(root / other)
        write(root / other / "schemata", "L3:0=f000;1=fff")
    limits = Cgroups(Paths(), "", made(tmp_path))
    for folder in (GUEST, "/x/domain-2-h"):
        await limits.allocate(folder, asked(f"<cachetune vcpus='0'>{cache(2)}</cachetune>"), THREADS)
    await limits.sweep([GUEST])
    assert {place.name for place in root.iterdir() if "@" in place.name or "'" in place.name} == {
        "frontinus@domain-1-g@vcpus_0", "frontinus-1a2b@domain-1-g@vcpus_0", "somebody's"}  # fmt: skip


async def test_a_host_without_resctrl_says_so(tmp_path: Path) -> None:
    limits = Cgroups(Paths(), "", made(tmp_path))
    for tune, element in (
        (TUNE, "cachetune"),
        ("<energytune vcpus='0'><monitor vcpus='0'/></energytune>", "energytune"),
    ):
        with pytest.raises(Unsupported, match=f"<{element}>: this host has no means for it"):
            await limits.allocate(GUEST, asked(tune), THREADS)
    await limits.remove(GUEST)
    await limits.sweep([])
    assert limits.measured(GUEST, (0,), "llc_occupancy") == {}


async def test_the_kernel_s_own_reason_is_told(tmp_path: Path) -> None:
    kernel(tmp_path)
    write(tmp_path / "resctrl/info/last_cmd_status", "Mask out of range")

    def bare(place: Path) -> None:
        place.mkdir()

    limits = Cgroups(
        Paths(), "", Resctrl("frontinus", tmp_path / "resctrl", tmp_path / "cpus", make=bare, drop=shutil.rmtree)
    )
    with pytest.raises(HostFailed, match="Mask out of range"):
        await limits.allocate(GUEST, asked(TUNE), THREADS)
    await limits.remove(GUEST)
    assert not list((tmp_path / "resctrl").glob("frontinus@*"))


async def test_a_processor_has_so_many_groups(tmp_path: Path) -> None:
    kernel(tmp_path)

    def full(place: Path) -> None:
        raise OSError(28, "No space left on device")

    limits = Cgroups(Paths(), "", Resctrl("frontinus", tmp_path / "resctrl", tmp_path / "cpus", make=full))
    with pytest.raises(HostFailed, match="no more groups"):
        await limits.allocate(GUEST, asked(TUNE), THREADS)
