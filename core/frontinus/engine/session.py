"""A session: the facade as one caller sees it. Permission comes first, then the use case; nothing unexpected gets out."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from itertools import chain
from typing import TYPE_CHECKING, cast

from frontinus.api.engine import Engine
from frontinus.api.errors import Denied, FrontinusError, InternalError, InvalidValue
from frontinus.api.identity import Identity
from frontinus.api.permissions import Permission, needed
from frontinus.api.views import Snapshot
from frontinus.engine.access import Details, Policy, Sight

log = logging.getLogger(__name__)
audit = logging.getLogger("frontinus.audit")


About = Callable[[str, Mapping[str, object]], Awaitable[Details]]
"""The details of the object that a call with these arguments is about."""

Further = Callable[[str, Mapping[str, object]], Awaitable[Iterable[tuple[Permission, Mapping[str, str]]]]]
"""Permissions that a call needs on other objects, each with that object's details."""


async def nothing_further(name: str, given: Mapping[str, object]) -> Iterable[tuple[Permission, Mapping[str, str]]]:
    return ()


class Session:
    """The facade for one identity; `use_cases` are the bound methods by facade name."""

    def __init__(self, use_cases: Mapping[str, Callable[..., object]], who: Identity, policy: Policy,
                 about: About, sight: Sight, further: Further = nothing_further) -> None:  # fmt: skip
        self._use_cases, self._who, self._policy, self._about, self._sight = use_cases, who, policy, about, sight
        self._further = further

    def __getattr__(self, name: str) -> Callable[..., object]:
        use_case = self._use_cases.get(name)
        if use_case is None:
            raise AttributeError(name)
        guarded = self._stream(name, use_case) if name in STREAMS else self._call(name, use_case)
        setattr(self, name, guarded)
        return guarded

    def _call(self, name: str, use_case: Callable[..., object]) -> Callable[..., Awaitable[object]]:
        signature = inspect.signature(use_case)

        @functools.wraps(use_case)
        async def call(*args: object, **kwargs: object) -> object:
            record = await self._admit(name, signature, args, kwargs)
            try:
                answer = await cast("Awaitable[object]", use_case(*args, **kwargs))
                if isinstance(answer, list) and self._policy.filters(self._who):
                    answer = await self._sight.items(answer)
                record("done")
                return answer
            except FrontinusError as error:
                record(error.code)
                raise
            except asyncio.CancelledError:
                record("abandoned")
                raise
            except Exception as error:
                record(InternalError.code)
                log.exception("%s failed unexpectedly", name)
                raise InternalError(f"{name} failed unexpectedly ({type(error).__name__}); the log has more") from None

        return call

    def _stream(self, name: str, use_case: Callable[..., object]) -> Callable[..., AsyncIterator[object]]:
        signature = inspect.signature(use_case)

        @functools.wraps(use_case)
        async def stream(*args: object, **kwargs: object) -> AsyncIterator[object]:
            await self._admit(name, signature, args, kwargs)
            filtered = self._policy.filters(self._who)
            async for item in cast("AsyncIterator[object]", use_case(*args, **kwargs)):
                if not filtered:
                    yield item
                elif isinstance(item, Snapshot):
                    yield await self._sight.snapshot(item)
                elif await self._sight.sees(item):
                    yield item

        return stream

    async def _admit(self, name: str, signature: inspect.Signature, args: tuple[object, ...],
                     kwargs: dict[str, object]) -> Callable[[str], None]:  # fmt: skip
        """How to record the call's end. Raises InvalidValue for arguments that do not fit, Denied."""
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidValue(f"{name}: {error}", field="arguments") from None
        own = needed(name, given)
        details = await self._about(name, self._cheap(given) if self._refuses(own) else given)
        for permission, facts in chain(((one, details) for one in own), await self._further(name, given)):
            if not await self._policy.allows(self._who, permission, facts):
                self._record(name, details, "denied")
                through = " through the read-only socket" if self._who.readonly else ""
                raise Denied(f"{permission} is not permitted to uid {self._who.uid}{through}")
        if any(permission.write for permission in own):
            return functools.partial(self._record, name, details)
        return lambda result: None

    def _refuses(self, own: Iterable[Permission]) -> bool:
        """Whether no policy admits this caller: then its XML is not worth a look, which might take long."""
        return self._who.readonly and any(permission.write for permission in own)

    @staticmethod
    def _cheap(given: Mapping[str, object]) -> Mapping[str, object]:
        return {argument: value for argument, value in given.items() if argument != "xml"}

    def _record(self, name: str, details: Mapping[str, str], result: str) -> None:
        """One line for each call that writes, or is denied: who, what, on which object, how it ended."""
        who = self._who
        audit.info("uid=%d pid=%d via=%s call=%s guest=%s uuid=%s%s result=%s", who.uid, who.pid,
                   _word(who.on_behalf or "socket"), name, _word(details.get("domain_name", "-")),
                   _word(details.get("domain_uuid", "-")), _others(details), result)  # fmt: skip


PLAIN = re.compile(r"[\w.:+@/-]+", re.ASCII)


def _word(text: str) -> str:
    """A text that users chose: quoted if it holds what could forge a field, or a line."""
    return text if PLAIN.fullmatch(text) else json.dumps(text)


def _others(details: Mapping[str, str]) -> str:
    """What is no guest, always quoted."""
    shown = {name: value for name, value in details.items() if not name.startswith(("domain_", "connect_"))}
    return "".join(f" {name}={json.dumps(value)}" for name, value in shown.items())


STREAMS = frozenset({"watch", "watch_monitor"})
"""Methods of the facade that are streams."""

if TYPE_CHECKING:

    def as_engine(session: Session) -> Engine: ...
else:

    def as_engine(session):
        """The session in the type of the facade: its methods are found by name, which the facade's test compares."""
        return session
