"""`frontinus argv` and `frontinus xml`: the pure translation without a daemon, one JSON line a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

from frontinus.api.errors import FrontinusError
from frontinus.domain.abi import Difference, as_started, differences
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.custom_capabilities import customized
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.prepare import prepare
from frontinus.domain.snapshots.offline import offline_backup, offline_checkpoint, offline_snapshot
from frontinus.qemu.argv.secrets import Sealed, Sealer, placeholder
from frontinus.qemu.plan import launch_plan
from frontinus.xml import Model, format_document


def argv_lines(files: Iterable[str], caps: Capabilities, host: HostFacts) -> Iterable[str]:
    """One line a file: {"file", "argv"} or {"file", "error"}."""
    seal = sealer(host)

    def translate(text: bytes) -> dict[str, object]:
        defined = complete(parse_guest(text), caps, host)
        mine = customized(caps, defined.qemu_capabilities)
        guest = prepare(defined, mine, host, guest_id=-1)
        return {"argv": list(launch_plan(guest, mine, host, seal=seal).argv)}

    return (line(name, translate) for name in files)


def sealer(host: HostFacts) -> Sealer:
    """Nobody's secrets are at hand here. A test's host file may say how one looks, for lines that are to be started."""
    match host.rig.get("sealed"):
        case {"data": str(data), "iv": str(iv)}:
            return lambda use: Sealed(data, iv)
    return placeholder


def xml_lines(files: Iterable[str], caps: Capabilities, host: HostFacts, view: str) -> Iterable[str]:
    """One line a file: {"file", "xml"} or {"file", "error"}. The active view shows what a file says of a run."""

    def canonical(text: bytes) -> dict[str, object]:
        active = view == "active"
        guest = complete(parse_guest(text), caps, host, stored=True, running=active)
        return {"xml": format_guest(guest, active=active, secrets=True)}

    return (line(name, canonical) for name in files)


DOCUMENTS: Mapping[str, Callable[[bytes, Guest | None, int | None], Model]] = {
    "snapshot": offline_snapshot, "checkpoint": offline_checkpoint, "backup": offline_backup,
}  # fmt: skip
"""Kinds that need no emulator: how a text is read and, with a guest and a time, completed."""


def document_lines(kind: str, files: Iterable[str], domain: str | None, time: int | None) -> Iterable[str]:
    """One line a file: {"file", "xml"} or {"file", "error"}."""
    guest = parse_guest(Path(domain).read_bytes()) if domain else None
    read = DOCUMENTS[kind]
    return (line(name, lambda text: {"xml": format_document(read(text, guest, time))}) for name in files)


def abi_differences(old: str, new: str, caps: Capabilities, host: HostFacts) -> list[Difference]:
    """What a guest would notice between two documents. What both leave to chance is the same in both."""

    def completed(text: str) -> Guest:
        numbers = count(1)
        repeated = replace(host, entropy=lambda size: next(numbers).to_bytes(size, "big"))
        return as_started(parse_guest(text), caps, repeated)

    return differences(completed(old), completed(new))


def line(name: str, action: Callable[[bytes], dict[str, object]]) -> str:
    """The answer for one file, whatever happens."""
    try:
        result = action(Path(name).read_bytes())
    except FrontinusError as error:
        result = {"error": {"code": error.code, "message": error.message}}
    except OSError as error:
        result = {"error": {"code": "storage-failed", "message": f"{name}: {error.strerror}"}}
    except Exception as error:  # a defect of ours must cost one line of the batch, not the batch
        result = {"error": {"code": "internal", "message": f"{type(error).__name__}: {error}"}}
    return json.dumps({"file": name, **result})
