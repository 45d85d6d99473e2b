"""Firmware descriptors of the host, in the order in which they are to be tried (QEMU's docs/interop/firmware.json)."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from frontinus.domain.host import Firmware

log = logging.getLogger(__name__)

FOLDERS = ("usr/share/qemu/firmware", "etc/qemu/firmware")
"""From the distribution's to the administrator's: a later file replaces an earlier one of its name; an empty one hides it."""


def read_firmware(folders: Iterable[Path]) -> tuple[Firmware, ...]:
    """All descriptors that can be used. One that cannot be read costs itself and is told in the log."""
    files: dict[str, Path] = {}
    for folder in folders:
        if folder.is_dir():
            files |= {path.name: path for path in folder.iterdir() if path.suffix == ".json"}
    found: list[Firmware] = []
    for _, path in sorted(files.items()):
        try:
            text = path.read_text()
            if text.strip():
                found.append(parse_firmware(str(path), json.loads(text)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("the firmware descriptor %s is left out: %s: %s", path, type(error).__name__, error)
    return tuple(found)


def parse_firmware(file: str, said: Mapping[str, object]) -> Firmware:
    """One descriptor. Raises KeyError, TypeError, ValueError or AttributeError for one that is none."""
    mapping = _table(said["mapping"])
    device = _text(mapping["device"])
    flash = device == "flash"
    code = _table(mapping["executable"]) if flash else mapping
    template = _table(mapping["nvram-template"]) if flash and "nvram-template" in mapping else {}
    variables = _table(mapping["uefi-vars"]) if not flash and "uefi-vars" in mapping else {}
    return Firmware(
        file=file,
        interfaces=tuple(map(_text, _list(said["interface-types"]))),
        device=device,
        executable=_text(code["filename"]),
        mode=_text(mapping.get("mode", "split" if flash else "combined")),
        executable_format=_text(code.get("format", "raw")),
        nvram_template=_text(template["filename"]) if template else _text(variables["template"]) if variables else None,
        nvram_format=_text(template.get("format", "raw")),
        targets=tuple(
            (_text(_table(target)["architecture"]), _text(machine))
            for target in _list(said["targets"])
            for machine in _list(_table(target)["machines"])
        ),
        features=frozenset(map(_text, _list(said["features"]))),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no object")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value
