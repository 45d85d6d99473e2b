"""Parameters of the wrong type: of each method each is refused by its name, nothing is done, and nothing breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, CIMParameter

from frontinus_cim.instances.kinds import Node
from frontinus_cim.methods.calls import METHODS
from frontinus_cim.schema.classes import Method, Parameter
from frontinus_cim.wire.model import INTEGERS
from support.cim import Rig, rig

OTHER = CIMInstanceName("KVM_AllocationCapabilities", {"InstanceID": "x"}, namespace="root/virt")
REFUSED = (pywbem.CIM_ERR_INVALID_PARAMETER, pywbem.CIM_ERR_TYPE_MISMATCH)


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=1) as made:
        yield made


def wrong(declared: Parameter) -> Iterator[tuple[str, Any]]:
    """Values that a parameter cannot have, with the types that they come as."""
    one: list[tuple[str, Any]] = []
    if declared.type in INTEGERS:
        one += [
            ("string", "many"),
            ("string", "99999999999999999999999"),
            ("string", "-99999999999999999999"),
            ("string", ""),
        ]
    elif declared.type == "boolean":
        one += [("string", "maybe")]
    elif declared.type == "datetime":
        one += [("string", "yesterday")]
    elif declared.type == "reference":
        one += [("string", "x")]
        one += (
            [("reference", OTHER)] if declared.reference not in (None, "", "CIM_ManagedElement", "CIM_System") else []
        )
    elif declared.embedded:
        one += [
            ("string", "x"),
            ("string", "<INSTANCE CLASSNAME='KVM_HostSystem'></INSTANCE>"),
            ("string", CIMInstance("CIM_Job")),
        ]
    if declared.type != "reference":
        one += [("reference", OTHER)]
    for kind, value in one:
        yield kind, [value] if declared.array else value
    plain = OTHER if declared.type == "reference" else "x"
    yield ("reference" if declared.type == "reference" else "string"), plain if declared.array else [plain, plain]


def targets(cim: Rig) -> Iterator[tuple[CIMInstanceName, Method]]:
    """Every method that there is an instance for."""
    registry = cim.service.registry
    for cls, name in METHODS:
        nodes = (Node(kind, subject) for kind in registry.below(cls, "root/virt") for subject in kind.every(cim.world))
        node = next(nodes, None)
        if node is not None:
            path = registry.path(node)
            keys = {key: str(value) for key, value in path.keys}
            declared = registry.schema[path.cls].methods_by_name[name.lower()]
            yield CIMInstanceName(path.cls, keys, namespace=path.namespace), declared


async def test_each_is_refused_by_its_name(cim: Rig) -> None:
    client, tried = cim.connection(), set[str]()
    before = await cim.engine.guest_xml("test"), await cim.engine.guests(), await cim.engine.networks()
    for path, method in targets(cim):
        for parameter in (one for one in method.parameters if one.taken):
            for kind, value in wrong(parameter):
                given = CIMParameter(parameter.name, kind, value=value, is_array=isinstance(value, list))
                about = f"{path.classname}.{method.name}({parameter.name}={value!r})"
                with pytest.raises(pywbem.CIMError) as told:
                    await asyncio.to_thread(client.InvokeMethod, method.name, path, [given])
                assert told.value.status_code in REFUSED, (about, told.value)
                assert parameter.name in told.value.status_description or parameter.embedded, (about, told.value)
                tried.add(method.name)
    client.close()
    assert len(tried) > 20, tried
    assert (await cim.engine.guest_xml("test"), await cim.engine.guests(), await cim.engine.networks()) == before
