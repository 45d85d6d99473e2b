"""Interfaces, character devices, displays and sound on a real QEMU: it takes what we say, has it, and answers on it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontinus.api.engine import Engine
from support import traces
from support.ports import free_port
from support.waiting import until
from trial import Daemon

DOCUMENT = """<domain type='qemu'><name>many</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='{machine}'>hvm</type></os><features><acpi/></features><cpu mode='maximum'/>
<devices>{devices}</devices></domain>"""

CARDS = """
<interface type='user'><mac address='52:54:00:00:01:00'/><model type='virtio'/>
  <ip address='10.9.0.0' prefix='24'/><ip address='fd00::' prefix='64'/>
  <driver txmode='timer' ioeventfd='on' event_idx='off' rx_queue_size='512' rss='on' packed='on'>
    <host csum='off' gso='off' tso4='off' mrg_rxbuf='off'/><guest csum='on' ufo='off'/></driver>
  <link state='down'/><rom enabled='no'/></interface>
<interface type='user'><mac address='52:54:00:00:01:01'/><model type='e1000e'/><rom bar='off'/></interface>
<interface type='server'><mac address='52:54:00:00:01:02'/><source address='127.0.0.1' port='{port}'/>
  <model type='rtl8139'/></interface>
<interface type='udp'><mac address='52:54:00:00:01:03'/><source address='127.0.0.1' port='{other}'>
  <local address='127.0.0.1' port='{third}'/></source><model type='virtio-non-transitional'/></interface>
"""
CHARACTERS = """
<serial type='unix'><source mode='bind' path='{place}/serial'/><log file='{place}/logs/serial'/></serial>
<serial type='file'><source path='{place}/logs/second' append='on'/></serial>
<serial type='pty'><target type='pci-serial'/></serial>
<serial type='null'><target type='usb-serial'/></serial>
<serial type='pty'><target type='isa-debug'/><address type='isa' iobase='0x402'/></serial>
<parallel type='udp'><source mode='connect' host='127.0.0.1' service='{other}'/></parallel>
<console type='pty'><target type='serial'/></console><console type='pty'><target type='virtio'/></console>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<channel type='tcp'><source mode='connect' host='127.0.0.1' service='{port}'><reconnect enabled='yes' timeout='1'/>
  </source><target type='virtio' name='org.test.1'/></channel>
<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/><mouse mode='client'/></source>
  <target type='virtio'/></channel>
<channel type='unix'><source mode='bind' path='{place}/forward'/>
  <target type='guestfwd' address='10.0.2.1' port='4600'/></channel>
"""
SCREENS = """
<graphics type='vnc' passwd='s3cret' passwdValidTo='2099-01-01T00:00:00' websocket='-1' sharePolicy='force-shared'
  powerControl='yes'><audio id='2'/></graphics>
<graphics type='spice' autoport='yes' passwd='0ther'><image compression='off'/><streaming mode='filter'/>
  <clipboard copypaste='no'/></graphics>
<video><model type='vga' vram='32768'><resolution x='800' y='600'/></model></video>
<video><model type='virtio' heads='2' blob='off'/></video>
<sound model='ich6'><codec type='micro'/><codec type='output'/></sound><sound model='ich9'/><sound model='ac97'/>
<sound model='es1370'/><sound model='sb16'/><sound model='usb' multichannel='yes'/><sound model='pcspk'/>
<audio id='1' type='spice'/><audio id='2' type='none' timerPeriod='5000'><output mixingEngine='yes' fixedSettings='yes'
  voices='1' bufferLength='20000'><settings frequency='48000' channels='2' format='s16'/></output></audio>
<audio id='3' type='file' path='{place}/logs/sound.wav'/>
"""
EXPECTED = {
    "net0": "virtio-net-pci", "net1": "e1000e", "net2": "rtl8139", "net3": "virtio-net-pci-non-transitional",
    "serial0": "isa-serial", "serial1": "isa-serial", "serial2": "pci-serial", "serial3": "usb-serial",
    "serial4": "isa-debugcon", "parallel0": "isa-parallel", "console1": "virtconsole", "channel0": "virtserialport",
    "channel1": "virtserialport", "channel2": "virtserialport", "video0": "VGA", "video1": "virtio-gpu-pci",
    "sound0": "intel-hda", "sound0-codec0": "hda-micro", "sound0-codec1": "hda-output", "sound1": "ich9-intel-hda",
    "sound1-codec0": "hda-duplex", "sound2": "AC97", "sound3": "ES1370", "sound4": "sb16", "sound5": "usb-audio",
}  # fmt: skip


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


@pytest.fixture
def words(place: Path) -> dict[str, str]:
    """Free ports, and a folder in which the engine opens logs."""
    (place / "logs").mkdir(mode=0o777)
    (place / "logs").chmod(0o777)
    place.chmod(0o777)
    return {"place": str(place), **{name: str(free_port()) for name in ("port", "other", "third")}}


async def started(engine: Engine, devices: str, words: dict[str, str], machine: str) -> None:
    await engine.define(DOCUMENT.format(machine=machine, devices=devices.format(**words)))
    await engine.start("many")


async def ask(engine: Engine, command: str, **arguments: object) -> object:
    answer = await engine.monitor_command("many", json.dumps({"execute": command, "arguments": arguments}))
    return json.loads(answer)["return"]


async def value(engine: Engine, alias: str, name: str) -> object:
    return await ask(engine, "qom-get", path=f"/machine/peripheral/{alias}", property=name)


@pytest.mark.parametrize("machine", ["q35", "pc"])
async def test_a_guest_with_every_attachment(engine: Engine, words: dict[str, str], machine: str) -> None:
    await started(engine, CARDS + CHARACTERS + SCREENS, words, machine)
    listed = await ask(engine, "qom-list", path="/machine/peripheral")
    assert isinstance(listed, list)
    have = {entry["name"]: entry["type"].removeprefix("child<").removesuffix(">") for entry in listed}
    assert {alias: have.get(alias) for alias in EXPECTED} == EXPECTED
    assert await value(engine, "net0", "rx_queue_size") == 512
    assert [await value(engine, "net0", name) for name in ("gso", "rss", "event_idx")] == [False, True, False]
    assert await value(engine, "video0", "vgamem_mb") == 32
    assert await value(engine, "video1", "max_outputs") == 2
    text = await engine.monitor_command("many", "info network", hmp=True)
    assert "net=10.9.0.0,restrict=off" in text
    await engine.destroy("many")
    assert traces.left(f"{words['place']}/state") == {}


async def test_the_hosts_ends_answer(engine: Engine, words: dict[str, str]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", int(words["port"])))
        server.listen()
        server.settimeout(60)
        await started(engine, CHARACTERS, words, "pc")
        async with asyncio.timeout(60):
            connection, _ = await asyncio.to_thread(server.accept)
        connection.close()
    found = await ask(engine, "query-chardev")
    assert isinstance(found, list)
    files = {entry["label"]: entry["filename"] for entry in found}
    pty = files["charserial2"].removeprefix("pty:")
    live = await engine.guest_xml("many")
    assert re.search(rf"<serial type='pty'>\s*<source path='{pty}'/>", live)
    assert pty not in await engine.guest_xml("many", ["inactive"])
    assert Path(pty).is_char_device()
    for name in ("serial", "forward"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{words['place']}/{name}")
    agent = re.search(r"path='([^']*org.qemu.guest_agent.0)'", live)
    assert agent is not None and Path(agent[1]).is_socket()
    assert (Path(words["place"]) / "logs/serial").exists()
    await engine.destroy("many")
    assert not Path(agent[1]).exists()


async def test_displays_ask_for_the_password(engine: Engine, words: dict[str, str]) -> None:
    await started(engine, SCREENS, words, "q35")
    vnc, spice = await ask(engine, "query-vnc"), await ask(engine, "query-spice")
    assert isinstance(vnc, dict) and isinstance(spice, dict)
    assert (vnc["enabled"], vnc["auth"], spice["enabled"], spice["auth"]) == (True, "vnc", True, "spice")
    assert spice["port"] != int(vnc["service"])
    assert await handshake(int(vnc["service"])) == b"\x02", "VNC authentication, and nothing weaker"
    pid = next(pid for pid, line in traces.processes(f"{words['place']}/state").items() if "qemu-system" in line)
    assert b"s3cret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    live = await engine.guest_xml("many")
    assert f"port='{vnc['service']}' autoport='yes'" in live and "s3cret" not in live
    assert "port='-1' autoport='yes'" in await engine.guest_xml("many", ["inactive"])
    await engine.destroy("many")


async def test_a_display_takes_the_next_port_where_the_one_that_looked_free_is_not(
    engine: Engine, words: dict[str, str]
) -> None:
    """The engine looks at IPv4: here somebody listens on IPv6, as another engine might since the look."""
    held: list[socket.socket] = []
    try:
        for port in range(5900, 5903):
            listener = socket.socket(socket.AF_INET6)
            held.append(listener)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            with contextlib.suppress(OSError):  # somebody's already
                listener.bind(("::1", port))
                listener.listen()
        display = "<graphics type='vnc' autoport='yes'><listen type='address' address='::1'/></graphics>"
        await started(engine, display, words, "pc")
        chosen = await ask(engine, "query-vnc")
        assert isinstance(chosen, dict) and int(chosen["service"]) >= 5903
        assert f"port='{chosen['service']}'" in await engine.guest_xml("many")
        await engine.destroy("many")
    finally:
        for listener in held:
            listener.close()


async def handshake(port: int) -> bytes:
    """The kinds of authentication that a VNC server offers."""
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        version = await reader.readexactly(12)
        writer.write(version)
        offered = await reader.readexactly((await reader.readexactly(1))[0])
        writer.close()
    return offered


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="needs /dev/net/tun")  # noqa: PTH110
async def test_a_tap_of_the_guests_own(engine: Engine, words: dict[str, str]) -> None:
    card = """<interface type='ethernet'><mac address='52:54:00:00:01:07'/>
        <source><ip address='192.0.2.1' prefix='24'/></source><model type='virtio'/>{mtu}</interface>"""
    await started(engine, card.replace("{mtu}", "<driver queues='2'/><mtu size='1400'/>"), words, "q35")
    name = re.search(r"<target dev='(vnet\d+)'/>", await engine.guest_xml("many"))
    assert name is not None
    folder = Path("/sys/class/net", name[1])
    assert (folder / "mtu").read_text().strip() == "1400"
    assert await value(engine, "net0", "mq") is True
    assert await value(engine, "net0", "host_mtu") == 1400
    assert "vnet" not in await engine.guest_xml("many", ["inactive"])
    await engine.destroy("many")
    await until(lambda: not folder.exists())  # the kernel removes a tap a moment after its last holder


PLUGGED = {
    "net0": "<interface type='user'><mac address='52:54:00:00:01:09'/><model type='virtio'/></interface>",
    "channel0": "<channel type='unix'><target type='virtio' name='org.test.2'/></channel>",
    "serial1": """<serial type='udp'><source mode='connect' host='127.0.0.1' service='{other}'/>
        <target type='usb-serial'/></serial>""",
    "serial2": "<serial type='file'><source path='{place}/logs/plugged'/><target type='usb-serial'/></serial>",
}  # fmt: skip


async def test_attachments_are_plugged_like_those_of_a_start(engine: Engine, words: dict[str, str]) -> None:
    more = """<controller type='usb' model='qemu-xhci'/><controller type='virtio-serial' index='0'/><serial type='null'/>
        <controller type='pci' index='8' model='pcie-root-port'/>"""  # fmt: skip
    await started(engine, more, words, "q35")
    for alias, device in PLUGGED.items():
        await engine.attach_device("many", device.format(**words), live=True)
        assert await value(engine, alias, "type")
    found = await ask(engine, "query-chardev")
    assert isinstance(found, list)
    assert {"charchannel0", "charserial1", "charserial2"} <= {entry["label"] for entry in found}
    assert "org.test.2" in await engine.guest_xml("many")
    await engine.destroy("many")
