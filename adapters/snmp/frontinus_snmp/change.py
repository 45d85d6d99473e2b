"""What a SET asks for and the steps that fulfil it. Plans are made from these without doing anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frontinus_snmp.ber import Oid
    from frontinus_snmp.rows import State


@dataclass(frozen=True)
class Wish:
    """A variable of a SET: its number in the request, from 1, and the value that it shall have."""

    place: int
    value: int | bytes | Oid

    @property
    def number(self) -> int:
        assert isinstance(self.value, int)
        return self.value

    @property
    def text(self) -> str:
        assert isinstance(self.value, bytes)
        return self.value.decode()


class Refusal(Exception):
    """A SET is not carried out: the error status of RFC 3416, section 4.2.5, and the variable's number."""

    def __init__(self, status: int, place: int) -> None:
        super().__init__(f"status {status}, variable {place}")
        self.status, self.place = status, place


@dataclass(frozen=True)
class Step:
    """One change. `what` is for the log; `undo` is None where nothing can take it back."""

    place: int
    what: str
    do: Callable[[], Awaitable[object]]
    undo: Callable[[], Awaitable[object]] | None


def switch(name: str) -> Callable[[State, Wish], Step]:
    """A TruthValue that is an attribute of the agent's state, until it is started anew."""

    def change(state: State, wish: Wish) -> Step:
        before, wanted = getattr(state, name), wish.number == 1

        async def put(value: bool) -> None:
            setattr(state, name, value)

        return Step(wish.place, f"{name} = {wanted}", lambda: put(wanted), lambda: put(before))

    return change
