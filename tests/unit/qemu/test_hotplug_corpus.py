"""The corpus's cases of hotplug: what QEMU is told, and what the running guest's document says after."""

from __future__ import annotations

import lzma
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from frontinus.api.errors import NoSuchDevice
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.devices.controller import Controller
from frontinus.domain.devices.graphics import Graphics
from frontinus.domain.guest import Guest
from frontinus.domain.hostfile import load_host
from frontinus.domain.plugging import find_device, parse_device, plugged, remove_device, replace_device
from frontinus.qemu.caps import transcript
from frontinus.qemu.caps.replies import from_sessions
from frontinus.qemu.hotplug import plan_device, plan_update
from support.corpus import CORPUS, cases, compared

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
HOST = load_host(str(Path(__file__).parents[2] / "corpus/rig.json"))
NOT_STEPS = ("query-fdsets", "getfd")
"""What the recorded lists hold besides commands that change something; a descriptor goes with its command here."""


@cache
def caps() -> Capabilities:
    """The newest recorded QEMU, without what the rig of the expectations had not."""
    recorded = CORPUS / "facts/caps/caps_8.0.0.x86_64.replies.xz"
    whole = from_sessions(transcript.read(lzma.decompress(recorded.read_bytes())), "/usr/bin/qemu-system-x86_64")
    return replace(whole, types=whole.types - {"lsi53c895a"})


def expected_steps(case: dict[str, str]) -> list[str]:
    return [word for word in re.findall(r"'\"([a-z_-]+)\"'", case["qmp"]) if word not in NOT_STEPS]


def attach(live: Guest, xml: str) -> tuple[Guest, list[str]]:
    after, new = plugged(live, parse_device(xml), caps(), HOST)
    return after, [step.command for device in new for step in plan_device(after, device, caps(), HOST).steps]


def detach(live: Guest, xml: str) -> tuple[Guest, list[str]]:
    """A case begins where the one that plugged the device has ended."""
    wanted = parse_device(xml)
    try:
        find_device(live, wanted)
    except NoSuchDevice:
        live, new = plugged(live, parse_device(xml), caps(), HOST)
        replace_device(live, new[-1], wanted.clone(alias=None))
    device = find_device(live, wanted)
    undone = [step.undo[0] for step in reversed(plan_device(live, device, caps(), HOST).steps) if step.undo]
    remove_device(live, device)
    return live, undone


def update(live: Guest, xml: str) -> tuple[Guest, list[str]]:
    wanted = parse_device(xml)
    old = find_device(live, wanted)
    wanted.complete(live, caps(), HOST)
    new = wanted.over(old) if isinstance(old, Graphics) and isinstance(wanted, Graphics) else wanted
    steps = [step.command for step in plan_update(live, old, new, caps(), HOST).steps]
    replace_device(live, old, new)
    return live, steps


DO = {"attach": attach, "detach": detach, "update": update}


def test_hotplug() -> None:
    equal, wrong = 0, {}
    chosen = [case for case in cases("hotplug") if not case["fail"]]
    for case in chosen:
        after, steps = DO[case["op"]](parse_guest(case["domain.xml"]), case["device.xml"])
        if sorted(steps) != sorted(expected_steps(case)):
            wrong[case["id"]] = steps, expected_steps(case)
        equal += compared(plain(case["expected.xml"]), plain(format_guest(after, active=True, secrets=True)))
    assert wrong == {}
    assert equal >= 0.75 * len(chosen), f"{equal} of {len(chosen)} documents"


BESIDE = (
    r"(?<=<memballoon model='none')>.*?</memballoon>", r"<audio[^>]*?(/>|>.*?</audio>)", r"<backingStore/>",
    r"(?<=<reservations managed='yes')>.*?</reservations>", r" passwd='[^']*'",
)  # fmt: skip
"""Names of what has none here, what our guests have from their start, and what the rig's expectations leave as it was."""


def plain(xml: str) -> str:
    for pattern in BESIDE:
        xml = re.sub(pattern, "/>" if pattern.startswith("(?<") else "", xml, flags=re.S)
    return xml


def test_what_is_new_is_the_device_and_its_controllers() -> None:
    for case in cases("hotplug"):
        if case["op"] == "attach":
            wanted = parse_device(case["device.xml"])
            _, new = plugged(parse_guest(case["domain.xml"]), wanted, caps(), HOST)
            assert {type(device) for device in new} <= {Controller, type(wanted)}, case["id"]
