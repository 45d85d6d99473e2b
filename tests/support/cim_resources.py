"""Every property of the settings of resources, each to be changed to something else: done and shown, or refused by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pywbem
from lxml import etree
from pywbem import CIMInstance, CIMInstanceName

from frontinus.api.engine import Engine
from frontinus_cim.schema.classes import Property, Schema
from frontinus_cim.wire.model import INTEGERS

MAC = "52:54:00:00:07:01"
UUID = "e3f3b3a3-f4f4-4555-8666-97979797c1c2"
DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>256</memory><currentMemory unit='MiB'>128</currentMemory>
<vcpu current='1'>2</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
</disk><interface type='{card}'>{source}<mac address='{mac}'/><model type='virtio'/>
<bandwidth><inbound average='100'/></bandwidth></interface>
<controller type='virtio-serial' index='0'/><serial type='pty'/><input type='tablet' bus='usb'/>
<graphics type='vnc' port='5939' autoport='no' listen='127.0.0.1'/></devices></domain>""".replace("{uuid}", UUID)
PARTS = {
    "Disk": "vda", "Net": MAC, "Mem": "mem", "Proc": "proc", "Graphics": "graphics:vnc", "Console": "charserial:0",
    "Input": "tablet:usb", "Controller": "controller:virtio-serial:0",
}  # fmt: skip
"""The resources of that guest, by the beginning of the class of their settings."""
GIVEN: dict[str, dict[str, Any]] = {
    "Disk": {"VirtualDevice": "vdb", "BusType": "sata", "DriverType": "qcow2", "DriverCache": "writeback", "Address": "/x/y.img",
             "HostResource": ["/x/y.img"], "EmulatedType": 1, "AccessMode": "read", "Access": 1, "rawio": "yes",
             "sgio": "filtered"},
    "Net": {"Address": "52:54:00:00:07:99", "ResourceSubType": "e1000", "NetworkType": "network", "NetworkName": "default",
            "PoolID": "NetworkPool/default", "Connection": ["default"], "VirtualDevice": "tapx", "FilterRef": "clean-traffic",
            "DesiredVLANEndpointMode": 2, "PortVID": 7, "AllowedToTransmitVLANs": [7, 8], "AllowedToReceiveVLANs": [7, 8],
            "AllocationUnits": "bit / second", "SourceDevice": "eth9", "NetworkMode": "vepa", "VSIType": "802.1Qbg"},
    "Mem": {"VirtualQuantity": 192 * 1024, "Limit": 512 * 1024, "dumpCore": False, "AllocationUnits": "byte*2^20"},
    "Proc": {"VirtualQuantity": 2, "Limit": 4, "Weight": 512},
    "Graphics": {"ResourceSubType": "spice", "VirtualDevice": "spice", "Address": "127.0.0.1:5940", "KeyMap": "de",
                 "Password": "opensesa", "IsIPv6Only": True},
    "Console": {"SourceType": "null", "TargetType": "usb-serial", "SourcePath": "/x/y"},
    "Input": {"ResourceSubType": "mouse", "BusType": "virtio"},
    "Switch": {"BridgeName": "virbr9", "ForwardMode": "nat", "Address": "10.7.7.2", "Netmask": "255.255.0.0", "MTU": 1400,
               "IPRangeStart": "10.7.7.10", "IPRangeEnd": "10.7.7.20", "VLANConnection": ["7"], "AutomaticStartupAction": 4,
               "EVBMode": 3},
    "System": {"BootDevice": "network", "UUID": UUID[:-1] + "f", "VirtualSystemIdentifier": "other",
               "VirtualSystemType": "KVM", "AutoStart": 1, "AutomaticStartupAction": 4,
               "AutomaticRecoveryAction": 3, "Machine": "q35", "Arch": "i686", "BootDevices": ["network", "hd"],
               "ClockOffset": "localtime", "Emulator": "/usr/bin/qemu-system-i386", "Kernel": "/x/kernel",
               "ConfigurationDataRoot": "/x"},
    "Controller": {"ResourceSubType": "scsi", "Model": "virtio", "Index": 1, "Ports": 8, "Vectors": 4, "Queues": 2},
}  # fmt: skip
"""What properties are changed to where anything else of their type is no sensible value."""
STATUS = {
    pywbem.CIM_ERR_NOT_SUPPORTED,
    pywbem.CIM_ERR_INVALID_PARAMETER,
    pywbem.CIM_ERR_FAILED,
    pywbem.CIM_ERR_NOT_FOUND,
}
WRITE_ONLY, VSSD = "Password", "KVM_VirtualSystemSettingData"
SERVICE = "KVM_VirtualSystemManagementService"
"""Methods of a service may be called by its class: there is one."""


def class_of(kind: str) -> str:
    return VSSD if kind == "System" else f"KVM_{kind}ResourceAllocationSettingData"


def properties(schema: Schema, kind: str) -> Iterator[Property]:
    """All of a class but the key."""
    return (prop for prop in schema[class_of(kind)].properties if prop.name != "InstanceID")


def other(kind: str, prop: Property, now: object) -> Any:
    """A value that the property has not."""
    if prop.name in GIVEN[kind]:
        value = GIVEN[kind][prop.name]
        value = value - 1 if value == now and isinstance(value, int) else value
    elif prop.array:
        value = ["7"] if prop.type == "string" else [7]
    elif prop.type == "boolean":
        value = not now
    elif prop.type == "datetime":
        value = "20260101000000.000000+000"
    else:
        value = (int(now) if isinstance(now, int) else 0) + 3 if prop.type in INTEGERS else "another"
    return pywbem.CIMProperty(prop.name, value, type=prop.type, is_array=prop.array)


@dataclass
class Changer:
    """A guest whose resources' settings a client changes, over one connection."""

    client: Any
    engine: Engine
    guest: str
    defined: bool = False
    """Whether those of its next start are changed."""

    async def ask(self, operation: str, *given: object, **more: object) -> Any:
        return await asyncio.to_thread(getattr(self.client, operation), *given, **more)

    async def document(self) -> bytes:
        """What the engine has, to be compared."""
        text = await self.engine.guest_xml(self.guest, ["secure", "inactive"] if self.defined else ["secure"])
        return etree.tostring(etree.fromstring(text), method="c14n")

    async def change(self, kind: str, prop: Property) -> str:
        """Change a property: 'done' if settings and XML show it, 'refused' if an error names it and nothing changed.

        Raises AssertionError for all else.
        """
        number = f"{self.guest}{'/defined' if self.defined else ''}/{PARTS[kind]}"
        path = CIMInstanceName(class_of(kind), {"InstanceID": number}, namespace="root/virt")
        now, before = await self.ask("GetInstance", path), await self.document()
        wanted = other(kind, prop, now.get(prop.name))
        given = CIMInstance(path.classname, {"InstanceID": number, prop.name: wanted})
        about = f"{number} {prop.name}: {now.get(prop.name)} to {wanted.value}"
        try:
            value, out = await self.ask("InvokeMethod", "ModifyResourceSettings", SERVICE, ResourceSettings=[given])
        except pywbem.CIMError as error:
            assert error.status_code in STATUS and prop.name in error.status_description, (about, error)
            assert await self.document() == before, about
            return "refused"
        assert value == 0, about
        (changed,) = out["ResultingResourceSettings"]
        shown = (await self.ask("GetInstance", changed)).get(prop.name)
        assert prop.name == WRITE_ONLY or shown == wanted.value, (about, shown)
        assert await self.document() != before, about
        return "done"
