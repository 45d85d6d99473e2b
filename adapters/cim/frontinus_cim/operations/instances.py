"""Operations on instances: get, enumerate, properties, queries (DSP0200 5.3.2)."""

from __future__ import annotations

from frontinus_cim.operations.call import Call, Look, instance, joined, name, named, object_with_path
from frontinus_cim.schema.classes import Property
from frontinus_cim.wire import query, writer
from frontinus_cim.wire.errors import CimError, Status


async def get_instance(call: Call) -> str:
    path, look = call.given.path("InstanceName"), Look.of(call.given)
    call.given.done()
    return instance(call, look)(await call.find(path))


async def enumerate_instances(call: Call) -> str:
    cls, look = call.given.cls("ClassName"), Look.of(call.given)
    deep = call.given.flag("DeepInheritance", True)
    call.given.done()
    await call.ready(cls)
    return joined(call.instances(cls), named(call, look if deep else look.only(cls)))


async def enumerate_instance_names(call: Call) -> str:
    cls = call.given.cls("ClassName")
    call.given.done()
    await call.ready(cls)
    return joined(call.instances(cls), name(call))


async def get_property(call: Call) -> str:
    path, asked = call.given.path("InstanceName"), call.given.text("PropertyName") or ""
    call.given.done()
    prop = _property(call, path.cls, asked)
    found = await call.find(path)
    return writer.value_text(call.schema, call.registry.value(call.world, found, prop.name))


def _property(call: Call, cls: str, asked: str) -> Property:
    prop = call.schema[cls].by_name.get(asked.lower())
    if prop is None:
        raise CimError(Status.NO_SUCH_PROPERTY, f"{cls} has no property '{asked[:80]}'")
    return prop


async def exec_query(call: Call) -> str:
    language, text = call.given.text("QueryLanguage") or "", call.given.text("Query") or ""
    call.given.done()
    asked = query.parse(call.schema, language, text)
    await call.ready(asked.cls)
    wanted = None if asked.wanted is None else frozenset(word.lower() for word in asked.wanted)
    wrap = object_with_path(call, Look(wanted))
    return joined((f for f in call.instances(asked.cls) if asked.takes(call.reader(f))), wrap)
