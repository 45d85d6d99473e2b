"""The same of a guest that runs under QEMU: what it has now, and what its next start will have."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pywbem import CIMInstance

from frontinus_cim.wire.model import Value
from support.cim import provider, schema
from support.cim_resources import DOMAIN, MAC, PARTS, SERVICE, Changer, class_of, properties
from support.namespaces import own_network
from support.real import place
from support.waiting import until
from trial import Daemon

__all__ = ["place"]
pytestmark = [pytest.mark.needs("root", "qemu-system-x86_64", "ip", "tc"), pytest.mark.timeout(1800)]
LIVE = {"Net": {"ReceiveBandwidthLimit"}, "Proc": {"VirtualQuantity"}}
"""At least these are done while the guest runs."""
WITHOUT_A_SYSTEM = {("Mem", "VirtualQuantity")}
"""What changes only if somebody inside gives it back; nothing is started in this guest."""


@own_network
async def test_each_property_of_a_running_guest_is_changed_or_refused_by_name(place: Path, tmp_path: Path) -> None:
    for words in ("set lo up", "add br7 type bridge", "add br8 type bridge"):
        subprocess.run(["ip", "link", *words.split()], check=True)
    (place / "a.img").write_bytes(bytes(2**20))
    daemon = Daemon(place)
    await daemon.start()
    try:
        async with daemon.engine() as engine, provider(tmp_path, daemon.socket, max_age=0.5) as cim:
            await engine.define(DOMAIN.format(name="led", disk=place / "a.img", mac=MAC, card="bridge",
                                              source="<source bridge='br7'/>"))  # fmt: skip
            await engine.start("led")
            await until(lambda: "led" in cim.world.named and cim.world.named["led"].next is not None)
            given = CIMInstance(class_of("Net"), {"InstanceID": f"led/{MAC}", "NetworkName": "br8"})
            value, out = await cim.ask("InvokeMethod", "ModifyResourceSettings", SERVICE, ResourceSettings=[given])
            (path,) = out["ResultingResourceSettings"]
            assert value == 0 and (await cim.ask("GetInstance", path))["Connection"] == ["br8"]
            ports = [one["DeviceID"] for one in await cim.ask("EnumerateInstanceNames", "KVM_EthernetSwitchPort")]
            assert f"br8/led/{MAC}" in ports and f"br7/led/{MAC}" not in ports
            assert (
                "vnet" in subprocess.run(["ip", "link", "show", "master", "br8"], capture_output=True, text=True).stdout
            )
            client = cim.connection()
            done: dict[str, set[Value]] = {kind: set() for kind in PARTS}
            for defined in (False, True):
                changer = Changer(client, engine, "led", defined=defined)
                for kind in PARTS:
                    for prop in properties(schema(), kind):
                        if (kind, prop.name) not in WITHOUT_A_SYSTEM:
                            how = await changer.change(kind, prop)
                            done[kind] |= {prop.name} if how == "done" and not defined else set()
            client.close()
            assert all(names <= done[kind] for kind, names in LIVE.items()), done
            await engine.destroy("led")
    finally:
        await daemon.stop()
