"""A real guest on a real switch, made, plugged in, walked and unplugged by CIM clients, inside a network of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, Uint16, Uint64

from guest_image import GuestImage
from support.cim import PASSWORD, Provider, provider
from support.namespaces import own_network
from support.real import guest_image, place
from support.unplugged import SECONDS as UNPLUGGED_SECONDS
from support.waiting import until
from trial import Daemon

__all__ = ["guest_image", "place"]
pytestmark = [
    pytest.mark.needs("root", "qemu-system-x86_64", "wbemcli", "ip", "nft", "dnsmasq", "tc"),
    pytest.mark.timeout(600),
]
MAC = "52:54:00:00:07:01"
GUEST = """<domain type='qemu'><name>led</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{place}/kernel</kernel><initrd>{place}/initrd</initrd>
<cmdline>{cmdline}</cmdline></os><features><acpi/></features><cpu mode='maximum'/><devices>
{ports}
<serial type='pty'/></devices></domain>"""
ROOT_PORT = "<controller type='pci' model='pcie-root-port'/>"
SETTINGS, PORT_SETTINGS = "KVM_VirtualEthernetSwitchSettingData", "KVM_EthernetSwitchPortSettingData"
SWITCH = CIMInstanceName("KVM_VirtualEthernetSwitch", {"CreationClassName": "KVM_VirtualEthernetSwitch", "Name": "office"},
                         namespace="root/virt")  # fmt: skip
WAY = (
    ("KVM_SystemDevice", "KVM_NetworkPort"), ("KVM_DeviceSAPImplementation", "KVM_LANEndpoint"),
    ("KVM_ActiveConnection", "KVM_SwitchLANEndpoint"), ("KVM_DeviceSAPImplementation", "KVM_EthernetSwitchPort"),
    ("KVM_SystemDevice", "KVM_VirtualEthernetSwitch"), ("KVM_HostedDependency", "KVM_HostSystem"),
)  # fmt: skip
"""From a guest to the host of the switch that it is on: associations, and what is at their other ends."""
Follow = Callable[[Provider, str, str, str], Awaitable[list[str]]]
"""What an association leads to: paths without a namespace, as command lines take them."""


async def by_pywbem(cim: Provider, path: str, association: str, cls: str) -> list[str]:
    start = CIMInstanceName.from_wbem_uri(f"/root/virt:{path}")
    found = await cim.ask("AssociatorNames", start, AssocClass=association, ResultClass=cls)
    return [one.to_wbem_uri().partition("root/virt:")[2] for one in found]


async def by_wbemcli(cim: Provider, path: str, association: str, cls: str) -> list[str]:
    code, said = await cim.wbemcli("-ac", association, "-arc", cls, "ain", f"/root/virt:{path}")
    assert code == 0, said
    return [line.partition("root/virt:")[2] for line in said.splitlines() if line.strip()]


async def by_pywbemcli(cim: Provider, path: str, association: str, cls: str) -> list[str]:
    program, url = str(Path(sys.executable).with_name("pywbemcli")), f"https://127.0.0.1:{cim.port}"
    words = [program, "-s", url, "-u", "admin", "-p", PASSWORD, "--no-verify", "-d", "root/virt", "instance", "associators", path,
             "--ac", association, "--rc", cls, "--no"]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "500", "PYTHONWARNINGS": "ignore"})  # fmt: skip
    said, wrong = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, wrong.decode()
    return re.findall(r"root/virt:(\S.*)$", said.decode(), re.MULTILINE)


def links(*words: str) -> list[dict[str, Any]]:
    said = subprocess.run(["ip", "-j", "link", "show", *words], capture_output=True, text=True, check=False).stdout
    return [link for link in json.loads(said or "[]") if link]


@asynccontextmanager
async def running(place: Path, image: GuestImage, folder: Path) -> AsyncIterator[tuple[Daemon, Provider]]:
    """A daemon with a guest that has no interface yet, and a provider; nothing of them is left."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for file, source in (("kernel", image.kernel), ("initrd", image.initrd)):
        (place / file).write_bytes(source.read_bytes())
    daemon = Daemon(place)
    await daemon.start()
    try:
        async with daemon.engine() as engine, provider(folder, daemon.socket, max_age=0.5) as cim:
            try:
                await engine.create(GUEST.format(place=place, ports=6 * ROOT_PORT, cmdline=image.cmdline("idle")))
                await until(lambda: "led" in cim.world.named)
                yield daemon, cim
            finally:
                for guest in await engine.guests(active=True):
                    await engine.destroy(guest.uuid)
                for network in await engine.networks(active=True):
                    await engine.destroy_network(network.uuid)
    finally:
        await daemon.stop()


async def invoke(cim: Provider, method: str, **given: Any) -> Any:
    (service,) = await cim.ask("EnumerateInstanceNames", "KVM_VirtualEthernetSwitchManagementService")
    value, out = await cim.ask("InvokeMethod", method, service, **given)
    assert value == 0, (method, value)
    return out


async def unplug(cim: Provider, settings: CIMInstanceName) -> None:
    """Ask until the guest has given the interface up: past the engine's deadline it may still do so."""
    async with asyncio.timeout(UNPLUGGED_SECONDS):
        while True:
            try:
                await invoke(cim, "RemoveResourceSettings", ResourceSettings=[settings])
            except pywbem.CIMError as error:
                if error.status_code == pywbem.CIM_ERR_NOT_FOUND:  # it was given up between two questions
                    return
                assert "did not give up" in error.status_description, error
            else:
                return


@own_network
async def test_a_guest_is_plugged_into_a_switch(place: Path, guest_image: GuestImage, tmp_path: Path) -> None:
    async with running(place, guest_image, tmp_path) as (daemon, cim):
        whole = CIMInstance(SETTINGS, {"VirtualSystemIdentifier": "office", "BridgeName": "virbr7", "ForwardMode": "isolated",
                                       "Address": "10.7.7.1", "Netmask": "255.255.255.0"})  # fmt: skip
        out = await invoke(cim, "DefineSystem", SystemSettings=whole)
        assert out["ResultingSystem"].keybindings == SWITCH.keybindings and not links("virbr7")
        assert (await cim.ask("InvokeMethod", "RequestStateChange", SWITCH, RequestedState=Uint16(2)))[0] == 0
        assert links("virbr7") and (await cim.ask("GetInstance", SWITCH))["EnabledState"] == 2
        plug = CIMInstance(PORT_SETTINGS, {"Connection": ["led"], "Address": MAC, "ResourceSubType": "virtio"})
        here = CIMInstanceName(SETTINGS, {"InstanceID": "Switch:office"}, namespace="root/virt")
        out = await invoke(cim, "AddResourceSettings", AffectedConfiguration=here, ResourceSettings=[plug])
        (settings,) = out["ResultingResourceSettings"]
        (tap,) = [link["ifname"] for link in links("master", "virbr7")]
        for follow in (by_pywbem, by_wbemcli, by_pywbemcli):
            await walked(cim, follow, tap)
        limited = CIMInstance(PORT_SETTINGS, {"InstanceID": settings["InstanceID"], "ReceiveBandwidthLimit": Uint64(8),
                                              "AllocationUnits": "bit / second * 10^6"})  # fmt: skip
        await invoke(cim, "ModifyResourceSettings", ResourceSettings=[limited])
        assert (await cim.ask("GetInstance", settings))["ReceiveBandwidthLimit"] == 1000
        classes = subprocess.run(["tc", "class", "show", "dev", tap], capture_output=True, text=True, check=True).stdout
        assert "rate 8Mbit" in classes, classes
        await unplug(cim, settings)
        await until(lambda: not links("master", "virbr7"))
        await invoke(cim, "DestroySystem", AffectedSystem=SWITCH)
        assert not links("virbr7") and not await cim.ask("EnumerateInstanceNames", "KVM_VirtualEthernetSwitch")


async def walked(cim: Provider, follow: Follow, tap: str) -> None:
    """The way from the guest to the switch and the host, which a client finds; the port is the guest's device on the bridge."""
    path = 'KVM_ComputerSystem.CreationClassName="KVM_ComputerSystem",Name="led"'
    ways = {}
    for association, cls in WAY:
        (path,) = await follow(cim, path, association, cls)
        ways[cls] = CIMInstanceName.from_wbem_uri(f"/root/virt:{path}")
    assert ways["KVM_VirtualEthernetSwitch"]["Name"] == "office", follow
    port = ways["KVM_EthernetSwitchPort"]
    assert port["DeviceID"] == f"office/led/{MAC}"
    assert (await cim.ask("GetInstance", port))["Name"] == tap
