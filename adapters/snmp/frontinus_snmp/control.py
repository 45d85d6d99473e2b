"""SET: every variable is tested before anything is changed, and what was changed is taken back when the rest fails.

The engine's changes are not a database's: what cannot be taken back (power off, a reset) comes last, and a second such
thing in the same request is refused, for then no order of steps would be safe.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from frontinus.api.errors import FrontinusError
from frontinus_snmp import ber, pdu
from frontinus_snmp.ber import Oid
from frontinus_snmp.change import Refusal, Step, Wish
from frontinus_snmp.limits import Quiet
from frontinus_snmp.manage import Manage
from frontinus_snmp.objects.kinds import Column, Scalar, Syntax, Table
from frontinus_snmp.pdu import Pdu
from frontinus_snmp.tree import Tree, View

log = logging.getLogger(__name__)
REMEMBERED, MOST_REMEMBERED = 60.0, 256
"""Seconds that, and number of requests whose, results are kept for managers that ask again because they got no answer."""
Result = tuple[int, int]
"""Error status and index."""
DONE: Result = (pdu.NO_ERROR, 0)


def wished(syntax: Syntax, tag: int, content: bytes, place: int) -> Wish:
    """A variable's new value. Raises Refusal in the order of RFC 3416, section 4.2.5."""
    if tag != syntax.ber_tag:
        raise Refusal(pdu.WRONG_TYPE, place)
    if tag == ber.OCTETS:
        if not syntax.least <= len(content) <= syntax.most:
            raise Refusal(pdu.WRONG_LENGTH, place)
        if syntax.tag == "text" and not _is_text(content):
            raise Refusal(pdu.WRONG_VALUE, place)
        return Wish(place, content)
    if tag == ber.OID:
        return Wish(place, ber.oid(content, 0, len(content)))
    number = int.from_bytes(content, "big", signed=tag == ber.INTEGER)
    allowed = number in syntax.names if syntax.names is not None else syntax.least <= number <= syntax.most
    if not allowed:
        raise Refusal(pdu.WRONG_VALUE, place)
    return Wish(place, number)


def _is_text(content: bytes) -> bool:
    try:
        return content.decode().isprintable()
    except UnicodeDecodeError:
        return False


Variable = tuple[Oid, int, bytes]
"""Name, tag and content of what shall be set."""


def plan(variables: Sequence[Variable], tree: Tree, view: View) -> Sequence[Step]:
    """The steps that fulfil a SET, in the order in which they are to be done. Raises Refusal. Nothing is changed."""
    steps: list[Step] = []
    rows: dict[tuple[str, Oid], tuple[Table[Any], dict[str, Wish]]] = {}
    seen: set[Oid] = set()
    for place, (name, tag, content) in enumerate(variables, 1):
        if not view.allows(name):
            raise Refusal(pdu.NO_ACCESS, place)
        item, table, index = _writable(tree, name, place)
        wish = wished(item.syntax, tag, content, place)
        if name in seen:
            raise Refusal(pdu.INCONSISTENT_NAME, place)
        seen.add(name)
        if table is not None:
            rows.setdefault((table.name, index), (table, {}))[1][item.name] = wish
        elif index != (0,):
            raise Refusal(pdu.NO_CREATION, place)
        elif isinstance(item, Scalar) and item.change is not None:
            steps.append(item.change(tree.state, wish))
    for (_, index), (table, wishes) in rows.items():
        assert table.change is not None
        steps += table.change(tree.state, index, wishes)
    final = [step for step in steps if step.undo is None]
    if len(final) > 1:
        raise Refusal(pdu.INCONSISTENT_VALUE, final[1].place)
    return [*(step for step in steps if step.undo is not None), *final]


def _writable(tree: Tree, name: Oid, place: int) -> tuple[Scalar | Column[Any], Table[Any] | None, Oid]:
    spot = tree.spot(name)
    if spot is None or spot.item.access not in ("read-write", "read-create"):
        raise Refusal(pdu.NOT_WRITABLE, place)
    return spot.item, spot.table, spot.index


async def commit(steps: Sequence[Step]) -> tuple[int, int, list[Step]]:
    """Do the steps: error status, index, and those that were done when one failed or all were done."""
    done: list[Step] = []
    for step in steps:
        try:
            await step.do()
        except FrontinusError as error:
            log.warning("%s failed: %s", step.what, error.message)
            return pdu.COMMIT_FAILED, step.place, done
        done.append(step)
    return pdu.NO_ERROR, 0, done


async def undo(done: Sequence[Step]) -> bool:
    """Take back what was done, the last first; whether all of it could be."""
    complete = True
    for step in reversed(done):
        try:
            if step.undo is None:
                complete = False
            else:
                await step.undo()
        except FrontinusError as error:
            log.error("'%s' could not be taken back: %s", step.what, error.message)
            complete = False
    return complete


class Control:
    """Carries out SETs, one after another. `shown` is awaited after a change, with the engine's generation of then."""

    def __init__(self, tree: Tree, counters: Counter[str], manage: Manage,
                 shown: Callable[[int], Awaitable[None]]) -> None:  # fmt: skip
        self._tree, self._counters, self._manage, self._shown = tree, counters, manage, shown
        self._turn, self._quiet = asyncio.Lock(), Quiet()
        self._results: OrderedDict[tuple[object, ...], tuple[float, asyncio.Future[Result]]] = OrderedDict()

    async def set(self, request: Pdu, view: View, who: str, key: tuple[object, ...]) -> Result:
        """Error status and index. A request that is asked again (`key`) is not done again: it has the same answer."""
        known = self._remembered(key)
        if known is not None:
            return await asyncio.shield(known)
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._results[key] = (time.monotonic(), result)
        try:
            result.set_result(await self._once(request, view, who))
        finally:
            if not result.done():
                result.cancel()
                self._results.pop(key, None)
        return result.result()

    def _remembered(self, key: tuple[object, ...]) -> asyncio.Future[Result] | None:
        now = time.monotonic()
        while self._results:
            oldest, (since, result) = next(iter(self._results.items()))
            if len(self._results) < MOST_REMEMBERED and (now - since < REMEMBERED or not result.done()):
                break
            del self._results[oldest]
        found = self._results.get(key)
        return None if found is None else found[1]

    async def _once(self, request: Pdu, view: View, who: str) -> Result:
        async with self._turn:
            try:
                steps = await self.plan(pdu.variables(request), view)
            except Refusal as refusal:
                self._quiet.warn(f"a SET was refused ({refusal})", who)
                return refusal.status, refusal.place
            status, index, done = await self.commit(steps, who)
            if status and not await self.undo(done):
                return pdu.UNDO_FAILED, 0
            return status, index

    # the three phases, as AgentX's masters ask for them

    async def plan(self, variables: Sequence[Variable], view: View) -> Sequence[Step]:
        """Raises Refusal."""
        self._tree.state.manage = await self._manage.engine()
        try:
            return plan(variables, self._tree, view)
        except Refusal:
            self._counters["setsRefused"] += 1
            raise

    async def commit(self, steps: Sequence[Step], who: str) -> tuple[int, int, list[Step]]:
        """Error status, index, and what was done, which shows when this returns."""
        status, index, done = await commit(steps)
        self._counters["setsFailed" if status else "setsDone"] += 1
        for step in steps:
            log.info("SET by %s: %s: %s", who, step.what, "done" if not status else "not done")
        await self._settle()
        return status, index, done

    async def undo(self, done: Sequence[Step]) -> bool:
        """Take back what was done; whether all of it could be."""
        complete = await undo(done)
        if done:
            await self._settle()
        return complete

    async def _settle(self) -> None:
        self._tree.fill()
        if self._tree.state.manage is not None:
            await self._shown(await self._manage.generation())
