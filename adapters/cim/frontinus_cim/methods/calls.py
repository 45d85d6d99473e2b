"""Extrinsic methods: who calls which on what, and what they answer. The methods themselves register in METHODS."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from frontinus.api.engine import Engine
from frontinus.api.identity import Identity
from frontinus_cim.host.world import World
from frontinus_cim.instances.kinds import Node, Registry
from frontinus_cim.wire.model import Embedded, Path, Value

COMPLETED, NOT_SUPPORTED, FAILED, TIMEOUT, INVALID_PARAMETER, INVALID_STATE, STARTED = 0, 1, 2, 3, 4, 5, 4096
"""Return values of the services' methods."""


@dataclass(frozen=True)
class MethodCall:
    """A method under way. `node` is what it is called on; `arguments` are typed, by the schema's names."""

    world: World
    registry: Registry
    who: Identity
    node: Node
    name: str
    arguments: Mapping[str, Value]
    namespace: str

    @property
    def engine(self) -> Engine:
        """The engine as the caller has it. Raises Disconnected, Denied."""
        return self.world.engine(self.who)

    async def long(self, work: Awaitable[Result], guest: str | None = None) -> Result:
        """Do what may take long: its result, or 4096 with the job that it has become."""
        done = await self.world.jobs.run(
            self.name, work, owner=self.who.name or "", service=self.node.kind.cls, guest=guest
        )
        if isinstance(done, Result):
            return done
        return Result(STARTED, {"Job": Path("KVM_ConcreteJob", (("InstanceID", done.id),))})

    def path(self, name: str) -> Path | None:
        found = self.arguments.get(name)
        return found if isinstance(found, Path) else None

    def paths(self, name: str) -> list[Path]:
        found = self.arguments.get(name)
        return [path for path in found if isinstance(path, Path)] if isinstance(found, list) else []

    def instance(self, name: str) -> Embedded | None:
        found = self.arguments.get(name)
        return found if isinstance(found, Embedded) else None

    def instances(self, name: str) -> list[Embedded]:
        found = self.arguments.get(name)
        return [one for one in found if isinstance(one, Embedded)] if isinstance(found, list) else []


@dataclass(frozen=True)
class Result:
    """What a method answers: its return value and output parameters."""

    value: int
    outputs: Mapping[str, Value] = field(default_factory=dict)


Body = Callable[[MethodCall], Awaitable[Result]]
METHODS: dict[tuple[str, str], Body] = {}
"""By class and method, as the schema writes them."""
READING: set[Body] = set()
"""Those that change nothing: a monitor may call them."""


def method(cls: str, *names: str, reads: bool = False) -> Callable[[Body], Body]:
    """Say that a function is the body of a class's methods; `reads`: it changes nothing."""

    def register(body: Body) -> Body:
        for name in names:
            assert (cls, name) not in METHODS, f"{cls}.{name} has two bodies"
            METHODS[cls, name] = body
        if reads:
            READING.add(body)
        return body

    return register


class Refused(Exception):
    """A method that answers with a return value of its own instead of a CIM error."""

    def __init__(self, value: int, message: str) -> None:
        self.value, self.message = value, message
        super().__init__(message)


def me(readonly: bool, name: str) -> Identity:
    """A caller by the role that it has here: the engine sees this process's user, and on whose behalf it acts."""
    return Identity(uid=os.getuid(), gid=os.getgid(), pid=os.getpid(), readonly=readonly, on_behalf="cim", name=name)
