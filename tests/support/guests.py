"""Guests for tests: a recorded probe of QEMU 7.2, a host whose entropy repeats, and documents made of parts."""

from __future__ import annotations

import itertools
import lzma
import tempfile
from functools import cache
from pathlib import Path

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.qemu.caps.replies import load_replies

DATA = Path(__file__).parents[1] / "data"
GUESTS = Path(__file__).parents[1] / "unit/golden/guests"


@cache
def qemu72() -> Capabilities:
    """What Debian 12's QEMU said when it was probed."""
    with tempfile.NamedTemporaryFile() as plain:
        plain.write(lzma.decompress((DATA / "qemu-7.2.probe.xz").read_bytes()))
        plain.flush()
        return load_replies(plain.name)


def host() -> HostFacts:
    """A host whose random bytes count up from zero."""
    counter = itertools.count(1)
    return HostFacts(cpus=4, kvm=True, entropy=lambda size: next(counter).to_bytes(size, "big"))


def document(devices: str = "", machine: str = "q35", more: str = "", os: str = "") -> str:
    """A small guest around some devices. `more` and `os`: what else <domain> and <os> say."""
    return (
        "<domain type='qemu'><name>test</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>"
        f"<memory unit='MiB'>512</memory><os><type arch='x86_64' machine='{machine}'>hvm</type>{os}</os>"
        f"{more}<devices>{devices}</devices></domain>"
    )


def completed(devices: str = "", machine: str = "q35", more: str = "", os: str = "") -> Guest:
    """The completed guest around some devices."""
    return complete(parse_guest(document(devices, machine, more, os)), qemu72(), host())
