"""One boot of the lab's VM for each group of tests in `inside`: pytest runs there, and what it found is judged here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import pytest

import lab
import lab_image

INSIDE = Path(__file__).parent / "inside"


@dataclass(frozen=True)
class Group:
    """A folder of tests, the machine that they need, and seconds for the whole boot on a loaded host."""

    least: int
    """Tests that must have passed."""
    machine: lab.Machine = field(default_factory=lab.Machine)
    deadline: float = 300


GROUPS: Mapping[str, Group] = {
    "first": Group(least=2),
    "cgroups": Group(least=4, machine=lab.Machine(cmdline="psi=1"), deadline=600),
    "passthrough": Group(
        least=5,
        machine=lab.Machine(
            machine="q35,kernel-irqchip=split",
            memory=2048,
            cmdline="intel_iommu=on",
            arguments=("-device", "intel-iommu,intremap=on,caching-mode=on", "-device", "e1000e,addr=0x10"),
        ),
        deadline=600,
    ),
    "hostdevs": Group(
        least=8,
        machine=lab.Machine(
            memory=1536, arguments=("-device", "qemu-xhci,id=lab-usb", "-device", "usb-tablet,bus=lab-usb.0")
        ),
        deadline=900,
    ),
    "rates": Group(least=2),
    "logical": Group(least=14, deadline=1200),
    "disk": Group(least=34, deadline=1200),
    "units": Group(least=27, deadline=1200),
    "shares": Group(least=66, deadline=1200),
}
"""By folder."""


def test_every_folder_is_a_group() -> None:
    assert {path.name for path in INSIDE.iterdir() if path.is_dir() and path.name[0] != "_"} == set(GROUPS)


@pytest.mark.needs("mmdebstrap")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", GROUPS)
def test_a_group(name: str, tmp_path: Path) -> None:
    group, share = GROUPS[name], tmp_path / "share"
    share.mkdir()
    try:
        done = lab.run(pytest_argv(name), share, group.deadline, group.machine)
    except lab_image.LabImageError as error:
        pytest.skip(str(error))
    finally:
        keep(share, name)
    print(f"{name}: {done.seconds:.1f} s\n{done.log}")
    suites = list(ElementTree.parse(share / "junit.xml").getroot().iter("testsuite"))
    counts = {what: sum(int(suite.get(what, 0)) for suite in suites) for what in ("tests", "skipped")}
    assert done.code == 0, done.log
    assert counts["skipped"] == 0 and counts["tests"] >= group.least, done.log


def pytest_argv(name: str) -> list[str]:
    junit = f"--junitxml={lab.SHARE}/junit.xml"
    return [
        "python3",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rs",
        "--durations=8",
        junit,
        f"tests/lab/inside/{name}",
    ]


def keep(share: Path, name: str) -> None:
    """The last run's log and console stay in .cache/lab, to be read."""
    for file in ("log", "console"):
        if (share / file).exists():
            shutil.copyfile(share / file, lab_image.default_cache() / f"{name}.{file}")
