"""Which classes' instances can be created, changed and deleted as such: as the table says, in the code and in the docs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName

from frontinus_cim.operations.changes import CHANGEABLE, NOTHING
from frontinus_cim.wire.model import INTEROP
from support.cim import Rig, rig, schema

PAGE = Path(__file__).parents[3] / "docs/cim.md"
GUEST = """<domain type='qemu'><name>shown</name><memory>65536</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><source file='/x.img'/><target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><mac address='52:54:00:00:07:01'/><source bridge='br7'/></interface><input type='tablet' bus='usb'/>
<graphics type='vnc' port='5939' listen='127.0.0.1'/><serial type='pty'/></devices></domain>"""


LACKING = {
    pywbem.CIM_ERR_INVALID_PARAMETER, pywbem.CIM_ERR_NOT_FOUND, pywbem.CIM_ERR_INVALID_QUERY,
    pywbem.CIM_ERR_QUERY_LANGUAGE_NOT_SUPPORTED,
}  # fmt: skip
"""What instances without properties are refused with; a collection lacks nothing, for its name may be made up."""


@pytest.fixture
async def cim(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, guests=0) as made:
        await made.engine.define(GUEST)
        await made.settled()
        yield made


async def status(cim: Rig, operation: str, *given: object, namespace: str = "root/virt") -> int:
    """What an operation is refused with, 0 if it is done."""
    try:
        await cim.ask(operation, *given, namespace=namespace)
    except pywbem.CIMError as error:
        assert error.status_description
        return int(error.status_code)
    return 0


def test_the_page_has_the_same_table() -> None:
    rows = re.findall(r"^\| `((?:KVM|CIM)_\w+)` \| (yes|no) \| (yes|no) \| (yes|no) \|", PAGE.read_text(), re.MULTILINE)
    yes = {True: "yes", False: "no"}
    table = [
        (cls, *(yes[bool(one)] for one in (row.create, row.modify, row.delete))) for cls, row in CHANGEABLE.items()
    ]
    assert sorted(rows) == sorted(table)


async def test_no_class_is_created_but_those_of_the_table(cim: Rig) -> None:
    """What can be created is refused here for what it lacks; all else for what it is."""
    taken = set()
    for cls in schema().classes:
        namespace = INTEROP if CHANGEABLE.get(cls, NOTHING).create and cls.startswith("CIM_") else "root/virt"
        code = await status(cim, "CreateInstance", CIMInstance(cls), namespace=namespace)
        assert code in LACKING | {pywbem.CIM_ERR_NOT_SUPPORTED, 0}, (cls, code)
        if code != pywbem.CIM_ERR_NOT_SUPPORTED:
            taken.add(cls)
    assert taken == {cls for cls, row in CHANGEABLE.items() if row.create}
    assert await status(cim, "CreateInstance", CIMInstance("KVM_Nothing")) == pywbem.CIM_ERR_INVALID_CLASS


def another(one: CIMInstance) -> CIMInstance:
    """The same instance with another caption."""
    return CIMInstance(one.classname, {"Caption": "another"}, path=one.path)


async def test_no_instance_is_changed_or_deleted_but_those_of_the_table(cim: Rig) -> None:
    """Of each class that has instances, one; a caption is nobody's to change, and no method of the services is gone around."""
    tried = set()
    for cls, kind in cim.service.registry.kinds.items():
        namespace, row = kind.namespaces[0], CHANGEABLE.get(cls, NOTHING)
        found = await cim.ask("EnumerateInstances", cls, namespace=namespace, DeepInheritance=False)
        for one in [one for one in found if one.classname == cls][:1]:
            one.path.namespace = namespace
            tried.add(cls)
            if "caption" in schema()[cls].by_name:
                code = await status(cim, "ModifyInstance", another(one))
                assert code == pywbem.CIM_ERR_NOT_SUPPORTED, (cls, code)
            if row.delete is None:
                assert await status(cim, "DeleteInstance", one.path) == pywbem.CIM_ERR_NOT_SUPPORTED, cls
                assert await cim.ask("GetInstance", one.path) is not None
    assert len(tried) > 60
    gone = CIMInstanceName(
        "KVM_ComputerSystem", {"CreationClassName": "KVM_ComputerSystem", "Name": "no"}, namespace="root/virt"
    )
    assert await status(cim, "DeleteInstance", gone) == pywbem.CIM_ERR_NOT_FOUND
