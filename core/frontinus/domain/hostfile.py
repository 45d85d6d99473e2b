"""A JSON file that stands in for this host: the fields of HostFacts by name, sizes in bytes.

With "entropy": "counting" what is random elsewhere is the same each time: bytes 0, 1, 2... With "time": SECONDS the
present stands still.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import msgspec

from frontinus.api.errors import InvalidValue
from frontinus.domain.host import HostFacts

FUNCTIONS = frozenset({"time", "entropy", "sysinfo", "look", "ask"})
"""Fields that no file can say."""


def load_host(path: str | None) -> HostFacts:
    """Facts from a file, or without one those of a host that nobody looked at. Raises InvalidValue naming the field."""
    if path is None:
        return HostFacts()
    try:
        said = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise InvalidValue(f"{path}: {error}", field="host") from error
    hints = get_type_hints(HostFacts)
    known = {field.name for field in fields(HostFacts)} - FUNCTIONS
    values: dict[str, object] = {}
    if isinstance(said, dict) and said.get("entropy") == "counting":
        del said["entropy"]
        values["entropy"] = lambda size: bytes(n % 256 for n in range(size))
    if isinstance(said, dict) and isinstance(said.get("time"), int):
        moment = float(said.pop("time"))
        values["time"] = lambda: moment
    for name, value in said.items() if isinstance(said, dict) else [("", said)]:
        if name not in known:
            raise InvalidValue(f"{path}: there is no fact '{name}' of a host", field=name)
        try:
            values[name] = msgspec.convert(value, hints[name], strict=False)
        except msgspec.ValidationError as error:
            raise InvalidValue(f"{path}: {name}: {error}", field=name) from None
    return HostFacts(**values)  # type: ignore[arg-type]
