"""Operations: a request's bytes in, an answer's bytes out. What goes wrong inside is told as a CIM error, never as a traceback."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from frontinus.api.errors import FrontinusError
from frontinus.api.identity import Identity
from frontinus_cim.host.world import World
from frontinus_cim.instances.kinds import FIGURES, Node, Registry
from frontinus_cim.methods.calls import METHODS, READING, MethodCall, Refused, Result
from frontinus_cim.operations import associations, changes, classes, instances, pulls
from frontinus_cim.operations.associations import ASSOCIATED, REFERRING
from frontinus_cim.operations.call import Call
from frontinus_cim.operations.pulls import Contexts
from frontinus_cim.schema.classes import Class, Method
from frontinus_cim.wire import errors, typed, writer
from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.request import BadMessage, GivenPath, Request

log = logging.getLogger(__name__)
audit = logging.getLogger("frontinus.audit")

Body = Callable[[Call], Awaitable[str | None]]


@dataclass(frozen=True)
class Operation:
    """An intrinsic operation. `write`: it changes something, so a monitor may not."""

    body: Body
    write: bool = False


OPERATIONS: Mapping[str, Operation] = {
    "GetInstance": Operation(instances.get_instance),
    "EnumerateInstances": Operation(instances.enumerate_instances),
    "EnumerateInstanceNames": Operation(instances.enumerate_instance_names),
    "CreateInstance": Operation(changes.create_instance, write=True),
    "ModifyInstance": Operation(changes.modify_instance, write=True),
    "DeleteInstance": Operation(changes.delete_instance, write=True),
    "GetProperty": Operation(instances.get_property),
    "SetProperty": Operation(changes.set_property, write=True),
    "ExecQuery": Operation(instances.exec_query),
    "Associators": Operation(associations.operation(ASSOCIATED, names=False)),
    "AssociatorNames": Operation(associations.operation(ASSOCIATED, names=True)),
    "References": Operation(associations.operation(REFERRING, names=False)),
    "ReferenceNames": Operation(associations.operation(REFERRING, names=True)),
    "GetClass": Operation(classes.get_class),
    "EnumerateClasses": Operation(classes.enumerate_classes),
    "EnumerateClassNames": Operation(classes.enumerate_class_names),
    "GetQualifier": Operation(classes.get_qualifier),
    "EnumerateQualifiers": Operation(classes.enumerate_qualifiers),
    "CreateClass": Operation(classes.refuse, write=True),
    "ModifyClass": Operation(classes.refuse, write=True),
    "DeleteClass": Operation(classes.refuse, write=True),
    "SetQualifier": Operation(classes.refuse, write=True),
    "DeleteQualifier": Operation(classes.refuse, write=True),
    "OpenEnumerateInstances": Operation(pulls.open_instances),
    "OpenEnumerateInstancePaths": Operation(pulls.open_paths),
    "OpenAssociatorInstances": Operation(pulls.open_along(ASSOCIATED, paths=False)),
    "OpenAssociatorInstancePaths": Operation(pulls.open_along(ASSOCIATED, paths=True)),
    "OpenReferenceInstances": Operation(pulls.open_along(REFERRING, paths=False)),
    "OpenReferenceInstancePaths": Operation(pulls.open_along(REFERRING, paths=True)),
    "OpenQueryInstances": Operation(pulls.open_query),
    "PullInstancesWithPath": Operation(pulls.pull_instances),
    "PullInstancePaths": Operation(pulls.pull_paths),
    "PullInstances": Operation(pulls.pull_query),
    "EnumerationCount": Operation(pulls.count),
    "CloseEnumeration": Operation(pulls.close),
}
"""DSP0200 5.3.2. What is not here is CIM_ERR_NOT_SUPPORTED, which clients take as the sign to do it another way."""
BY_NAME = {name.lower(): (name, operation) for name, operation in OPERATIONS.items()}


class Service:
    """The provider without its transport."""

    def __init__(self, world: World, registry: Registry) -> None:
        self.world, self.registry, self.schema = world, registry, registry.schema
        self.contexts = Contexts()

    async def answer(self, asked: Request, who: Identity) -> bytes:
        """The message that answers a request."""
        extrinsic = asked.target is not None
        try:
            if asked.target is not None:
                body = await self._extrinsic(asked, who)
            else:
                body = await self._intrinsic(asked, who)
        except CimError as error:
            body = writer.failed(asked.name, error.status, error.message, extrinsic=extrinsic)
        except BadMessage as error:
            body = writer.failed(asked.name, Status.INVALID_PARAMETER, error.message, extrinsic=extrinsic)
        except FrontinusError as error:
            told = errors.of(error)
            body = writer.failed(asked.name, told.status, told.message, extrinsic=extrinsic)
        except Exception:
            log.exception("%s failed unexpectedly", asked.name[:60])
            words = f"{asked.name[:60]} failed unexpectedly; the log has more"
            body = writer.failed(asked.name, Status.FAILED, words, extrinsic=extrinsic)
        return writer.message(asked.id, body)

    async def _intrinsic(self, asked: Request, who: Identity) -> str:
        namespace = typed.namespace_of(asked.namespace)
        name, operation = BY_NAME.get(asked.name.lower(), ("", None))
        if operation is None:
            raise CimError(Status.NOT_SUPPORTED, f"there is no operation '{asked.name[:60]}'")
        if operation.write:
            self._admit(who, asked.name)
        call = Call(self, who, namespace, typed.Intrinsic(self.schema, asked.parameters, namespace))
        result = await operation.body(call)
        return writer.intrinsic(name, result, call.outputs)

    def _admit(self, who: Identity, what: str, *, reads: bool = False) -> None:
        """Raises CimError ACCESS_DENIED for those who only monitor."""
        allowed = reads or not who.readonly
        audit.info("cim user=%s operation=%s allowed=%s", who.name, what[:80], allowed)
        if not allowed:
            raise CimError(Status.ACCESS_DENIED, f"{who.name} may only read")

    async def _extrinsic(self, asked: Request, who: Identity) -> str:
        namespace = typed.namespace_of(asked.namespace)
        node, cls = await self._target(asked, namespace)
        declared = cls.methods_by_name.get(asked.name.lower())
        if declared is None:
            raise CimError(Status.METHOD_NOT_FOUND, f"{cls.name} has no method '{asked.name[:60]}'")
        arguments = typed.arguments(self.schema, declared, asked.parameters, namespace)
        body = next(
            (METHODS[at, declared.name] for at in self.schema.above(cls.name) if (at, declared.name) in METHODS), None
        )
        if body is None:
            raise CimError(Status.METHOD_NOT_AVAILABLE, f"{cls.name}.{declared.name} is not offered here")
        self._admit(who, f"{cls.name}.{declared.name}", reads=body in READING)
        try:
            result = await body(MethodCall(self.world, self.registry, who, node, declared.name, arguments, namespace))
        except Refused as refused:
            log.info("%s.%s: %s", cls.name, declared.name, refused.message)
            result = Result(refused.value)
        return self._method_answer(declared, result)

    async def _target(self, asked: Request, namespace: str) -> tuple[Node, Class]:
        """What a method is called on; a class that has one instance stands for that."""
        await self.world.settled()
        if isinstance(asked.target, GivenPath) and asked.target.keys:
            path = typed.path(self.schema, asked.target, namespace)
            if (kind := self.registry.kinds.get(path.cls)) is not None and kind.needs == FIGURES:
                await self.world.refresh()
            found = self.registry.find(self.world, path)
            if found is None:
                raise CimError(Status.NOT_FOUND, f"there is no such instance of {path.cls}")
            return found, self.schema[path.cls]
        assert asked.target is not None
        cls = typed.class_of(
            self.schema, asked.target.cls if isinstance(asked.target, GivenPath) else asked.target.name
        )
        nodes = [Node(kind, s) for kind in self.registry.below(cls.name, namespace) for s in kind.every(self.world)][:2]
        if len(nodes) != 1 or cls.methods_by_name.get(asked.name.lower()) is None:
            raise CimError(Status.METHOD_NOT_FOUND, f"{cls.name} has no method '{asked.name[:60]}' of its class")
        return nodes[0], cls

    def _method_answer(self, declared: Method, result: Result) -> str:
        outputs = []
        for parameter in declared.parameters:
            value = result.outputs.get(parameter.name)
            if parameter.given and value is not None:
                embedded = ' EmbeddedObject="instance"' if parameter.embedded else ""
                kind = "reference" if parameter.type == "reference" else parameter.type
                outputs.append(f'<PARAMVALUE NAME="{parameter.name}" PARAMTYPE="{kind}"{embedded}>'
                               f"{writer.value_text(self.schema, value)}</PARAMVALUE>")  # fmt: skip
        returned = f'<RETURNVALUE PARAMTYPE="{declared.type}"><VALUE>{result.value}</VALUE></RETURNVALUE>'
        return f'<METHODRESPONSE NAME="{declared.name}">{returned}{"".join(outputs)}</METHODRESPONSE>'
