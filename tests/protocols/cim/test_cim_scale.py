"""What is asked about one guest costs the same, however many guests there are: counted in calls, not in time."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

from frontinus_cim.methods.calls import me
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
