"""The ten guests that are started on real releases, planned for those that nobody can have here: QEMU 4.2 and on, as recorded."""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from frontinus.api.errors import Unsupported
from frontinus.domain.abi import differences
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.prepare import prepare
from frontinus.qemu.caps.replies import load_replies
from frontinus.qemu.plan import launch_plan
from support.corpus import CORPUS
from support.ten_guests import GUESTS, document
from support.whole_guest import HOST

RECORDED = CORPUS / "facts/caps"
RELEASES = ("4.2.0", "5.0.0", "5.1.0", "5.2.0", "6.0.0", "6.1.0", "6.2.0", "7.0.0", "7.1.0", "7.2.0", "8.0.0")
FIRST = "5.2.0"
"""The release that the guests' machine types are named after."""
LACKING = {"4.2.0": {"cells and memory": "virtio-mem"}, "5.0.0": {"cells and memory": "virtio-mem"}}
"""What a release has not got, of the guests that ask for it."""


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded probes beside the checkout")
@pytest.mark.parametrize("release", RELEASES)
def test_every_release_has_a_command_line_for_them(tmp_path: Path, release: str) -> None:
    caps = recorded(release, tmp_path)
    for name in GUESTS:
        lacking = LACKING.get(release, {}).get(name)
        if lacking is not None:
            with pytest.raises(Unsupported, match=lacking):
                planned(name, caps)
            continue
        argv = planned(name, caps)
        assert argv.count("-device") >= 1 and argv.count("-machine") == 1
        assert ("-blockdev" in argv) == ("<disk" in GUESTS[name][1])


@pytest.mark.skipif(not RECORDED.is_dir(), reason="no recorded probes beside the checkout")
@pytest.mark.parametrize("release", [release for release in RELEASES if release > FIRST])
def test_a_machine_type_is_the_same_guest_whatever_completes_it(tmp_path: Path, release: str) -> None:
    """What a document leaves open is decided by the machine type, not by the release that it is defined on."""
    old, new = recorded(FIRST, tmp_path), recorded(release, tmp_path)
    for name in GUESTS:
        assert differences(completed(name, old), completed(name, new)) == [], name


def recorded(release: str, place: Path) -> Capabilities:
    file = place / release
    file.write_bytes(lzma.decompress((RECORDED / f"caps_{release}.x86_64.replies.xz").read_bytes()))
    return load_replies(str(file))


def completed(name: str, caps: Capabilities) -> Guest:
    text = document(*GUESTS[name]).replace("{place}", "/place")
    return complete(parse_guest(text), caps, replace(HOST, entropy=lambda size: bytes(range(1, size + 1))))


def planned(name: str, caps: Capabilities) -> tuple[str, ...]:
    machine, devices, parts = GUESTS[name]
    family = "q35" if "q35" in machine else "pc"
    guest = complete(parse_guest(document(family, devices, parts).replace("{place}", "/place")), caps, HOST)
    return launch_plan(prepare(guest, caps, HOST, guest_id=1), caps, HOST).argv
