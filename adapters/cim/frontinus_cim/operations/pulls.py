"""Enumerations that are pulled (DSP0200 5.3.2): contexts that cannot be guessed, bounded in number, size and time."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from frontinus.api.identity import Identity
from frontinus_cim.instances.kinds import Found
from frontinus_cim.operations.associations import Walk
from frontinus_cim.operations.call import Call, Look, Wrap, instance, path, with_path
from frontinus_cim.profiles.interop import LEAST_TIMEOUT, MOST_TIMEOUT
from frontinus_cim.schema.classes import Class
from frontinus_cim.wire import query, writer
from frontinus_cim.wire.errors import CimError, Status

MOST_CONTEXTS, MOST_OF_ONE = 256, 32
"""Enumerations that are open at once: in all, and of one user."""
USUAL_TIMEOUT = 60
"""Seconds between two pulls, of a client that names none."""
MOST_OBJECTS = 10_000
"""Instances in one answer."""


@dataclass
class Context:
    """An enumeration under way."""

    name: str
    user: str
    kind: str
    items: Iterator[Found]
    timeout: int
    namespace: str
    wrap: Wrap
    timer: asyncio.TimerHandle | None = None
    left: list[Found] = field(default_factory=list)

    def take(self, count: int) -> tuple[list[Found], bool]:
        """The next items, and whether they were the last."""
        taken = self.left + list(itertools.islice(self.items, max(count + 1 - len(self.left), 0)))
        taken, self.left = taken[:count], taken[count:]
        return taken, not self.left

    def count(self) -> int:
        """How many items are left."""
        self.left += self.items
        return len(self.left)


class Contexts:
    """All enumerations that are open."""

    def __init__(self) -> None:
        self.open: dict[str, Context] = {}

    def add(self, context: Context) -> None:
        """Keep one. Raises CimError SERVER_LIMITS_EXCEEDED."""
        of_one = sum(1 for other in self.open.values() if other.user == context.user)
        if len(self.open) >= MOST_CONTEXTS or of_one >= MOST_OF_ONE:
            raise CimError(Status.SERVER_LIMITS_EXCEEDED, "too many enumerations are open")
        self.open[context.name] = context
        self.touch(context)

    def touch(self, context: Context) -> None:
        """Begin its time anew."""
        if context.timer is not None:
            context.timer.cancel()
        loop = asyncio.get_running_loop()
        context.timer = loop.call_later(context.timeout, self.close, context)

    def find(self, name: str, who: Identity, namespace: str, kind: str | None = None) -> Context:
        """One of a user's. Raises CimError INVALID_ENUMERATION_CONTEXT."""
        context = self.open.get(name)
        if context is None or context.user != (who.name or "") or context.namespace != namespace:
            raise CimError(Status.INVALID_ENUMERATION_CONTEXT, "there is no such enumeration")
        if kind is not None and context.kind != kind:
            raise CimError(Status.INVALID_ENUMERATION_CONTEXT, f"the enumeration is of {context.kind}")
        return context

    def close(self, context: Context) -> None:
        if context.timer is not None:
            context.timer.cancel()
        self.open.pop(context.name, None)


INSTANCES, PATHS = "instances", "paths"


@dataclass(frozen=True)
class Terms:
    """The parameters that all Open operations share."""

    count: int
    timeout: int
    takes: query.Condition | None

    @classmethod
    def of(cls, call: Call) -> Terms:
        given = call.given
        language, text = given.text("FilterQueryLanguage"), given.text("FilterQuery")
        timeout = given.number("OperationTimeout", USUAL_TIMEOUT)
        if given.flag("ContinueOnError", False):
            raise CimError(Status.CONTINUATION_ON_ERROR_NOT_SUPPORTED, "an enumeration ends with its first error")
        count = given.number("MaxObjectCount", 0)
        if timeout is None or not LEAST_TIMEOUT <= timeout <= MOST_TIMEOUT:
            raise CimError(Status.INVALID_OPERATION_TIMEOUT, f"a timeout is {LEAST_TIMEOUT} to {MOST_TIMEOUT} seconds")
        if (language is None) != (text is None):
            raise CimError(Status.INVALID_PARAMETER, "FilterQueryLanguage and FilterQuery go together")
        return cls(_count(count), timeout, query.condition(call.schema, language, text) if text is not None else None)


def _count(count: int | None) -> int:
    return min(count or 0, MOST_OBJECTS)


def _open(call: Call, terms: Terms, kind: str, items: Iterator[Found], wrap: Wrap) -> str:
    """Begin an enumeration; the first items."""
    takes = terms.takes
    chosen = items if takes is None else (found for found in items if takes(call.reader(found)))
    user = call.who.name or ""
    context = Context(secrets.token_urlsafe(18), user, kind, chosen, terms.timeout, call.namespace, wrap)
    taken, last = context.take(terms.count)
    if not last:
        call.service.contexts.add(context)
    return _answer(call, context, taken, last)


def _answer(call: Call, context: Context, taken: list[Found], last: bool) -> str:
    call.outputs += [
        writer.intrinsic_output("EnumerationContext", "string", "" if last else context.name),
        writer.intrinsic_output("EndOfSequence", "boolean", last),
    ]
    return "".join(map(context.wrap, taken))


def _listed(call: Call, cls: Class) -> Iterator[Found]:
    """The instances as they are now: what comes later does not appear, what goes is left out when it is written."""
    return iter(list(call.instances(cls)))


async def open_instances(call: Call) -> str:
    cls, look, terms = call.given.cls("ClassName"), Look.of(call.given), Terms.of(call)
    deep = call.given.flag("DeepInheritance", True)
    call.given.done()
    await call.ready(cls)
    return _open(call, terms, INSTANCES, _listed(call, cls), with_path(call, look if deep else look.only(cls)))


async def open_paths(call: Call) -> str:
    cls, terms = call.given.cls("ClassName"), Terms.of(call)
    call.given.done()
    await call.ready(cls)
    return _open(call, terms, PATHS, _listed(call, cls), path(call))


def open_along(walk: Walk, *, paths: bool) -> Callable[[Call], Awaitable[str]]:
    """OpenAssociatorInstances and the like: what associations of an instance lead to, or themselves."""

    async def body(call: Call) -> str:
        at, filters = call.given.path("InstanceName"), walk.filters(call)
        look = None if paths else Look.of(call.given)
        terms = Terms.of(call)
        call.given.done()
        found = iter(await walk.instances(call, at, filters))
        if look is None:
            return _open(call, terms, PATHS, found, path(call))
        return _open(call, terms, INSTANCES, found, with_path(call, look))

    return body


async def open_query(call: Call) -> str:
    given = call.given
    language, text = given.text("FilterQueryLanguage") or "", given.text("FilterQuery") or ""
    given.flag("ReturnQueryResultClass", False)
    terms = Terms.of(call)
    given.done()
    asked = query.parse(call.schema, language, text)
    await call.ready(asked.cls)
    look = Look(None if asked.wanted is None else frozenset(word.lower() for word in asked.wanted))
    chosen = [found for found in call.instances(asked.cls) if asked.takes(call.reader(found))]
    return _open(call, terms, INSTANCES, iter(chosen), instance(call, look))


async def _pull(call: Call, kind: str) -> str:
    name, count = call.given.text("EnumerationContext") or "", call.given.number("MaxObjectCount")
    call.given.done()
    if count is None:
        raise CimError(Status.INVALID_PARAMETER, "MaxObjectCount is missing")
    context = call.service.contexts.find(name, call.who, call.namespace, kind)
    taken, last = context.take(_count(count))
    if last:
        call.service.contexts.close(context)
    else:
        call.service.contexts.touch(context)
    return _answer(call, context, taken, last)


async def pull_instances(call: Call) -> str:
    """PullInstancesWithPath."""
    return await _pull(call, INSTANCES)


async def pull_query(call: Call) -> str:
    """PullInstances, of an enumeration that a query began."""
    return await _pull(call, INSTANCES)


async def pull_paths(call: Call) -> str:
    return await _pull(call, PATHS)


async def count(call: Call) -> str:
    """EnumerationCount: how many are left, exactly; a condition is judged of all of them now."""
    name = call.given.text("EnumerationContext") or ""
    call.given.done()
    context = call.service.contexts.find(name, call.who, call.namespace)
    call.service.contexts.touch(context)
    return f"<VALUE>{context.count()}</VALUE>"


async def close(call: Call) -> None:
    name = call.given.text("EnumerationContext") or ""
    call.given.done()
    call.service.contexts.close(call.service.contexts.find(name, call.who, call.namespace))
