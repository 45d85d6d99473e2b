"""What the facade has and this engine has not yet: answered by Unsupported. The table only shrinks."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from frontinus.api.errors import Unsupported

CONCERNS: tuple[type, ...] = ()
"""Those of which the engine lacks something; a use case that it has takes the place of the one here."""


def pending() -> dict[str, Callable[..., object]]:
    """A use case for each method of these concerns, that says it is not there."""
    found = {name: member for concern in CONCERNS for name, member in vars(concern).items()}
    return {name: _not_yet(name, member) for name, member in found.items() if inspect.iscoroutinefunction(member)}


def _not_yet(name: str, member: Callable[..., object]) -> Callable[..., object]:
    async def not_yet(*_: object, **__: object) -> None:
        raise Unsupported(f"this engine cannot do '{name}' yet")

    whole = inspect.signature(member)
    not_yet.__signature__ = whole.replace(parameters=list(whole.parameters.values())[1:])  # type: ignore[attr-defined]
    return not_yet
