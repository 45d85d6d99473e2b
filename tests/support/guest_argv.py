"""Items of a guest's command line, found by their option."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from frontinus.domain.capabilities import Capabilities
from support.whole_guest import options, plan


def found(option: str, more: str = "", caps: Capabilities | None = None, **parts: str) -> list[str]:
    return options(plan(more, caps, **parts).argv).get(option, [])


def objects(more: str = "", caps: Capabilities | None = None, **parts: str) -> Mapping[str, dict[str, object]]:
    return {entry["id"]: entry for entry in map(json.loads, found("object", more, caps, **parts))}


def with_(caps: Capabilities, *, types: str = "", without: str = "", options: Mapping[str, str] | None = None,
          commands: frozenset[str] | None = None) -> Capabilities:  # fmt: skip
    """Capabilities with types more or less, options more, other commands."""
    return replace(
        caps, types=(caps.types | set(types.split())) - set(without.split()),
        options={**caps.options, **{k: caps.options.get(k, frozenset()) | {v} for k, v in (options or {}).items()}},
        commands=caps.commands if commands is None else commands,
    )  # fmt: skip
