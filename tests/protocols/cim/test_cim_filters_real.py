"""Network filters over CIM, in force: on the tap of a real guest, as nft, the guest and a walk of CIM each see it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pywbem
from pywbem import CIMInstance, CIMInstanceName, Uint8, Uint16

from guest_image import GuestImage
from support.cim import Provider, provider
from support.console import Console
from support.namespaces import own_network
from support.real import guest_image, place
from trial import Daemon

__all__ = ["guest_image", "place"]
pytestmark = [pytest.mark.needs("root", "ip", "nft", "qemu-system-x86_64"), pytest.mark.timeout(600),
              pytest.mark.filterwarnings("ignore::pywbem.ToleratedServerIssueWarning")]  # fmt: skip
MAC = "52:54:00:00:0c:01"
GUEST = f"""<domain type='qemu'><name>walled</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{{place}}/kernel</kernel><initrd>{{place}}/initrd</initrd>
<cmdline>{{cmdline}}</cmdline></os><features><acpi/></features><cpu mode='maximum'/><devices>
<interface type='bridge'><mac address='{MAC}'/><source bridge='br0'/><model type='virtio'/></interface>
<serial type='pty'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>"""
ACCEPT, DROP = Uint16(1), Uint16(2)
IN, OUT = Uint16(1), Uint16(2)
ICMP, IPV4 = Uint16(1), Uint8(4)


def ruleset() -> str:
    """What nft says is in force in this namespace."""
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def bridge() -> None:
    for words in ("link set lo up", "link add br0 type bridge", "addr add 10.9.8.1/24 dev br0", "link set br0 up"):
        subprocess.run(["ip", *words.split()], check=True)


@dataclass
class Walls:
    """Filters of a provider, and the guest behind them."""

    cim: Provider
    console: Console

    async def create(self, cls: str, **values: Any) -> CIMInstanceName:
        found = await self.cim.ask("CreateInstance", CIMInstance(cls, values))
        assert isinstance(found, CIMInstanceName)
        return found

    async def answered(self, seconds: int = 60) -> bool:
        """Whether the host answers the guest within some seconds."""
        _, told = await self.console.run(f"ping -c 2 -W {seconds} 10.9.8.1", 3 * seconds)
        assert "packets received" in told
        return " 100% packet loss" not in told

    async def unanswered(self) -> bool:
        """Whether it does not, as it does at once where it does."""
        return not await self.answered(2)

    async def walk(self, port: CIMInstanceName) -> dict[str, list[str]]:
        """The filters on a port and those in them, by name, each with its entries."""
        found: dict[str, list[str]] = {}
        waiting = await self.cim.ask(
            "AssociatorNames", port, AssocClass="KVM_AppliedFilterList", ResultClass="KVM_FilterList"
        )
        while waiting:
            one = waiting.pop()
            entries = await self.cim.ask("AssociatorNames", one, AssocClass="KVM_EntriesInFilterList")
            found[one["Name"]] = sorted(entry["Name"] for entry in entries)
            waiting += await self.cim.ask("AssociatorNames", one, AssocClass="KVM_NestedFilterList", Role="Antecedent")
        return found


@own_network
async def test_a_filter_made_over_cim_holds_a_guest(place: Path, guest_image: GuestImage, tmp_path: Path) -> None:
    bridge()
    for file, source in (("kernel", guest_image.kernel), ("initrd", guest_image.initrd)):
        shutil.copy(source, place / file)
        (place / file).chmod(0o644)
    daemon = Daemon(place)
    await daemon.start()
    async with daemon.engine() as engine, provider(tmp_path, daemon.socket, max_age=0.5) as cim:
        await engine.create(GUEST.format(place=place, cmdline=guest_image.cmdline("idle")))
        async with Console(engine, "walled") as console:
            await console.ready()
            await console.run("ip addr add 10.9.8.2/24 dev eth0; ip link set eth0 up")
            await _lead(Walls(cim, console))
        await engine.destroy("walled")
    assert ruleset() == ""
    await daemon.stop()


async def _lead(walls: Walls) -> None:
    """From no filter to one, to another, and back."""
    cim = walls.cim
    (port,) = await cim.ask("EnumerateInstanceNames", "KVM_NetworkPort")
    assert await walls.answered() and ruleset() == "" and await walls.walk(port) == {}
    own = await walls.create("KVM_FilterList", Name="own")
    rule = await walls.create(
        "KVM_IPHeadersFilter", Name="own", Action=DROP, Direction=OUT, HdrProtocolID=ICMP, HdrIPVersion=IPV4
    )
    assert ruleset() == "", "a filter that nobody has is in force nowhere"

    applied = await walls.create("KVM_AppliedFilterList", Antecedent=own, Dependent=port)
    assert await walls.walk(port) == {"own": ["own:0"]}
    held = ruleset()
    assert "icmp" in held and "drop" in held and "vnet" in held, held
    assert await walls.unanswered()

    changed = await cim.ask("GetInstance", rule)
    changed["Action"] = ACCEPT
    await cim.ask("ModifyInstance", changed, PropertyList=["Action"])
    assert ruleset() != held and await walls.answered()

    standard = next(
        p for p in await cim.ask("EnumerateInstanceNames", "KVM_FilterList") if p["Name"] == "no-mac-spoofing"
    )
    nested = await walls.create("KVM_NestedFilterList", Antecedent=own, Dependent=standard)
    assert set(await walls.walk(port)) == {"own", "no-mac-spoofing"} and MAC in ruleset()
    lie = "ip link set eth0 down; ip link set eth0 address {}; ip link set eth0 up"
    await walls.console.run(lie.format("52:54:00:00:0c:99"))
    assert await walls.unanswered(), "who lies is not heard"
    await cim.ask("DeleteInstance", nested)
    assert MAC not in ruleset() and await walls.answered()

    await cim.ask("DeleteInstance", rule)
    assert await walls.walk(port) == {"own": []} and "icmp" not in ruleset()
    with pytest.raises(pywbem.CIMError):
        await cim.ask("DeleteInstance", own)
    await cim.ask("DeleteInstance", applied)
    assert await walls.walk(port) == {} and ruleset() == "" and await walls.answered()
    await cim.ask("DeleteInstance", own)
    assert ruleset() == ""
