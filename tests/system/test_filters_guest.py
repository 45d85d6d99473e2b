"""A guest from whose inside somebody tries to lie, on a network whose server its address is learned from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from guest_image import GuestImage
from support.console import Console
from support.disks import eventually
from support.namespaces import own_network
from trial import Daemon

pytestmark = [pytest.mark.needs("ip", "nft", "dnsmasq"), pytest.mark.timeout(600)]

NETWORK = """<network><name>lab</name><bridge name='virbr9' stp='off'/>
<ip address='10.9.9.1' prefix='24'><dhcp><range start='10.9.9.100' end='10.9.9.199'/></dhcp></ip></network>"""
GUEST = """<domain type='qemu'><name>liar</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{place}/kernel</kernel><initrd>{place}/initrd</initrd>
<cmdline>{cmdline}</cmdline></os><features><acpi/></features><cpu mode='maximum'/><devices>
<interface type='network'><mac address='52:54:00:00:00:0d'/><source network='lab'/><model type='virtio'/>
<filterref filter='clean-traffic'><parameter name='CTRL_IP_LEARNING' value='dhcp'/>
<parameter name='DHCPSERVER' value='10.9.9.1'/></filterref></interface>
<serial type='pty'/><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng></devices></domain>"""


async def answered(console: Console, *options: str, seconds: int = 60) -> bool:
    """Whether the gateway answers the guest within some seconds."""
    _, told = await console.run(f"ping -c 2 -W {seconds} {' '.join(options)} 10.9.9.1", 3 * seconds)
    assert "packets received" in told
    return " 100% packet loss" not in told


async def unanswered(console: Console, *options: str) -> bool:
    """Whether it does not, while it answers others at once."""
    return not await answered(console, *options, seconds=2)


@own_network
async def test_a_guest_that_lies_is_not_heard(place: Path, guest_image: GuestImage) -> None:
    for file, source in (("kernel", guest_image.kernel), ("initrd", guest_image.initrd)):
        shutil.copy(source, place / file)
        (place / file).chmod(0o644)
    daemon = Daemon(place)
    await daemon.start()
    async with daemon.engine() as engine:
        await engine.create_network(NETWORK)
        await engine.create(GUEST.format(place=place, cmdline=guest_image.cmdline("idle", net="dhcp")))
        async with Console(engine, "liar") as console:
            await console.ready()
            (lease,) = await engine.network_leases("lab")

            async def learned() -> bool:
                (binding,) = await engine.filter_bindings()
                return binding.addresses == (lease.address,)

            await eventually(learned, "what the server that is believed has leased is not learned")
            assert await answered(console)
            await console.run("ip addr add 10.9.9.66/24 dev eth0")
            assert await unanswered(console, "-I", "10.9.9.66")
            assert await answered(console, "-I", lease.address)
            await console.run("ip link set eth0 down; ip link set eth0 address 52:54:00:00:00:99; ip link set eth0 up")
            assert await unanswered(console)
            await console.run("ip link set eth0 down; ip link set eth0 address 52:54:00:00:00:0d; ip link set eth0 up")
            assert await answered(console)
            await daemon.kill()
        await daemon.start()
    async with daemon.engine() as engine, Console(engine, "liar") as console:
        assert (await engine.filter_bindings())[0].addresses == (lease.address,)
        assert await answered(console) and await unanswered(console, "-I", "10.9.9.66")
        await engine.update_device("liar", GUEST[GUEST.index("<interface") : GUEST.index("<serial")].replace(
            "</filterref>", "<parameter name='IP' value='10.9.9.66'/></filterref>"), live=True)  # fmt: skip
        assert await answered(console, "-I", "10.9.9.66")
        await engine.destroy("liar")
        await engine.destroy_network("lab")
    assert subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout == ""
    await daemon.stop()
