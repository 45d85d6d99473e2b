"""What is asked about one guest costs the same, however many guests there are: counted in calls, not in time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import FrameType

import pytest

from frontinus_cim.methods.calls import me
from frontinus_cim.operations import call
from frontinus_cim.wire import request
from support.cim import Rig, rig

NAME = ("<INSTANCENAME CLASSNAME='KVM_ComputerSystem'><KEYBINDING NAME='Name'><KEYVALUE>guest-00003</KEYVALUE></KEYBINDING>"
        "<KEYBINDING NAME='CreationClassName'><KEYVALUE>KVM_ComputerSystem</KEYVALUE></KEYBINDING></INSTANCENAME>")  # fmt: skip
CALL = ("<CIM CIMVERSION='2.0' DTDVERSION='2.0'><MESSAGE ID='1' PROTOCOLVERSION='1.0'><SIMPLEREQ><IMETHODCALL NAME='{name}'>"
        "<LOCALNAMESPACEPATH><NAMESPACE NAME='root'/><NAMESPACE NAME='virt'/></LOCALNAMESPACEPATH>"
        "<IPARAMVALUE NAME='{parameter}'>{value}</IPARAMVALUE></IMETHODCALL></SIMPLEREQ></MESSAGE></CIM>")  # fmt: skip
ASKED = {"GetInstance": "InstanceName", "Associators": "ObjectName", "ReferenceNames": "ObjectName"}


async def calls(cim: Rig, name: str) -> int:
    """How many functions of the provider an operation on one guest calls, once everything about that guest is known."""
    asked = request.parse(CALL.format(name=name, parameter=ASKED[name], value=NAME).encode())
    who, count = me(False, "admin"), 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call" and "frontinus_cim" in frame.f_code.co_filename

    await cim.service.answer(asked, who)
    sys.setprofile(counted)
    try:
        said = await cim.service.answer(asked, who)
    finally:
        sys.setprofile(None)
    assert b"guest-00003" in said and b"<ERROR" not in said
    return count


async def test_one_guest_among_few_and_many(tmp_path: Path) -> None:
    found: dict[int, dict[str, int]] = {}
    for guests in (5, 50):
        (tmp_path / str(guests)).mkdir()
        async with rig(tmp_path / str(guests), guests=guests, max_age=60.0) as cim:
            found[guests] = {name: await calls(cim, name) for name in ASKED}
    few, many = found.values()
    assert all(count > 50 for count in few.values()), few
    assert {name: many[name] - few[name] for name in ASKED if many[name] - few[name] >= 45} == {}, (
        "a call for each guest more"
    )


async def enumerate_instances(cim: Rig, cls: str) -> bytes:
    value = f'<CLASSNAME NAME="{cls}"/>'
    text = CALL.format(name="EnumerateInstances", parameter="ClassName", value=value)
    return await cim.service.answer(request.parse(text.encode()), me(False, "admin"))


async def test_the_largest_class_of_1000_guests_is_within_what_an_answer_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 100 guests, for a guest takes the same room among any number."""
    async with rig(tmp_path, guests=99, max_age=60.0) as cim:
        sizes = {
            cls: len(await enumerate_instances(cim, cls))
            for cls in (*cim.service.registry.kinds, *cim.service.registry.links)
        }
        largest = max(sizes, key=lambda cls: sizes[cls])
        assert 2**20 < sizes[largest] < call.MOST_ANSWER / 10, (largest, sizes[largest])
        monkeypatch.setattr(call, "MOST_ANSWER", 2**16)
        refused = await enumerate_instances(cim, "KVM_ComputerSystem")
        assert b'<ERROR CODE="27"' in refused and len(refused) < 2**10
        connection = cim.connection(use_pull_operations=True)
        pulled = await asyncio.to_thread(
            lambda: list(connection.IterEnumerateInstances("KVM_ComputerSystem", MaxObjectCount=10))
        )
        connection.close()
        assert len(pulled) == 100
