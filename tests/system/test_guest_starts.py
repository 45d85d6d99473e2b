"""What a guest is outside its devices, on a real QEMU: it takes the command line, and shows what was asked for."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from frontinus.domain.complete import complete
from frontinus.domain.cpu.named import OF_GUESTS, named_models
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import HostFacts, Paths
from frontinus.domain.prepare import prepare
from frontinus.linux.host import probe_facts
from frontinus.linux.resources import LinuxResources
from frontinus.qemu.driver import QemuHypervisor
from frontinus.qemu.guest import QemuGuest
from support.cpu_models import models
from support.started import DYING
from support.whole_guest import MIB, text

EMULATOR = "/usr/bin/qemu-system-x86_64"
CELLS = """<vcpu>4</vcpu><cpu><topology sockets='2' cores='2' threads='1'/><numa>
<cell id='0' cpus='0,2' memory='64' unit='MiB'><distances><sibling id='1' value='31'/></distances></cell>
<cell id='1' cpus='1,3' memory='192' unit='MiB' memAccess='shared'/></numa></cpu>"""
HMAT = CELLS.replace("</numa>", """<interconnects><latency initiator='0' target='0' type='access' value='5'/>
<latency initiator='0' target='1' type='access' value='9'/><latency initiator='1' target='1' type='access' value='5'/>
<latency initiator='1' target='0' type='access' value='9'/>
<bandwidth initiator='0' target='0' type='access' value='1048576'/><bandwidth initiator='0' target='1' type='access' value='1024'/>
<bandwidth initiator='1' target='1' type='access' value='1048576'/><bandwidth initiator='1' target='0' type='access' value='1024'/>
</interconnects></numa>""")  # fmt: skip
ENLIGHTENED = """<acpi/><hyperv><relaxed state='on'/><vapic state='on'/><spinlocks state='on' retries='8191'/></hyperv>
<kvm><hidden state='on'/></kvm><pvspinlock state='off'/><pmu state='off'/><vmport state='off'/><vmcoreinfo/>
<smm state='on'><tseg unit='MiB'>16</tseg></smm>"""
IDENTITY = """<sysinfo type='smbios'><bios><entry name='vendor'>A,B</entry></bios><system><entry name='sku'>s</entry></system>
<baseBoard><entry name='asset'>a</entry></baseBoard><chassis><entry name='sku'>c</entry></chassis><oemStrings>
<entry>one,two</entry></oemStrings></sysinfo><sysinfo type='fwcfg'><entry name='opt/com.example/x'>a,b</entry></sysinfo>
<genid/>"""
EVERYTHING = {
    "plain pc": {"machine": "pc"},
    "without acpi": {"machine": "pc", "features": ""},
    "cells with distances": {"more": CELLS},
    "memory performance": {"more": HMAT},
    "room for memory": {"more": CELLS + "<maxMemory slots='2' unit='GiB'>2</maxMemory>"},
    "shared memory": {"more": "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"},
    "memory in a file": {"more": "<memoryBacking><nosharepages/><source type='file'/><access mode='private'/><discard/>"
                                 "</memoryBacking>"},
    "memory allocated on a node": {"more": "<memoryBacking><allocation mode='immediate' threads='2'/></memoryBacking>"
                                           "<numatune><memory nodeset='0'/></numatune>"},
    "features": {"features": ENLIGHTENED},
    "identity": {"more": IDENTITY, "os": "<smbios mode='sysinfo'/>"},
    "threads": {"more": "<iothreads>2</iothreads><iothreadids><iothread id='4' thread_pool_min='1' thread_pool_max='8'>"
                        "<poll max='9' grow='2' shrink='3'/></iothread></iothreadids><defaultiothread thread_pool_max='9'/>"},
    "clock": {"more": "<clock offset='variable' adjustment='3600'><timer name='hpet' present='no'/><timer name='pit'/>"
                      "<timer name='rtc' tickpolicy='catchup' track='guest'/></clock>"},
    "boot": {"os": "<bootmenu enable='yes' timeout='9'/><bios rebootTimeout='5'/>",
             "more": "<pm><suspend-to-mem enabled='no'/></pm><on_reboot>destroy</on_reboot>"},
    "host model": {"more": "<cpu mode='host-model'/>"},
    "all that QEMU has": {"more": "<cpu mode='maximum'><cache mode='emulate' level='3'/></cpu>"},
    "deprecations refused": {"more": "<qemu:deprecation behavior='reject'/>"},
}  # fmt: skip
SMALL = "<memory unit='MiB'>256</memory>"


@dataclass
class Started:
    """A guest that has a process and does not run yet."""

    guest: QemuGuest
    host: HostFacts

    async def ask(self, command: str, **arguments: object) -> object:
        answer = await self.guest.monitor_command(json.dumps({"execute": command, "arguments": arguments}), hmp=False)
        return json.loads(answer)["return"]


async def start(place: Path, **parts: str) -> tuple[Started, LinuxResources, list[dict[str, object]]]:
    paths = Paths(*(f"{place}/{name}" for name in ("config", "state", "run", "log", "cache", "nvram", "ram")))
    hypervisor, resources = QemuHypervisor(EMULATOR, paths), LinuxResources(paths, (70000, 70009))
    caps, host = await hypervisor.capabilities(), probe_facts(paths)
    guest = complete(parse_guest(text(**{"memory": SMALL, **parts})), caps, host)
    plan = hypervisor.plan(prepare(guest, caps, host, guest_id=1), caps, host)

    async def journal(undo: Sequence[dict[str, object]]) -> None:
        pass

    who = await resources.credentials(guest.uuid or "")
    prepared = await resources.set_up(plan.resources, who, journal)
    try:
        return Started(await hypervisor.launch(plan, prepared.fds, who), host), resources, prepared.undo
    except BaseException:
        await resources.tear_down(prepared.undo)
        raise
    finally:
        for fd in prepared.fds.values():
            os.close(fd)


def run(place: Path, look: object, **parts: str) -> None:
    """Start a guest, look at it, end it."""

    async def work() -> None:
        started, resources, undo = await start(place, **parts)
        try:
            assert await started.guest.status() == "prelaunch"
            if callable(look):
                await look(started)
        finally:
            await started.guest.quit(graceful=False, deadline=DYING)
            await resources.tear_down(undo)

    asyncio.run(work())


@pytest.mark.parametrize("name", EVERYTHING)
def test_qemu_takes_it(place: Path, name: str) -> None:
    run(place, None, **EVERYTHING[name])


def test_cells_and_cpus_are_where_they_belong(place: Path) -> None:
    async def look(started: Started) -> None:
        cpus = await started.ask("query-hotpluggable-cpus")
        assert isinstance(cpus, list)
        place_of = {cpu["qom-path"]: cpu["props"] for cpu in cpus if "qom-path" in cpu}
        assert len(place_of) == 4
        nodes = {(p["socket-id"], p["core-id"]): p["node-id"] for p in place_of.values()}
        assert nodes == {(0, 0): 0, (0, 1): 1, (1, 0): 0, (1, 1): 1}
        backends = await started.ask("query-memdev")
        assert isinstance(backends, list)
        assert {b["id"]: (b["size"], b["share"]) for b in backends} == {
            "ram-node0": (64 * MIB, False), "ram-node1": (192 * MIB, True)}  # fmt: skip

    run(place, look, more=CELLS)


def test_vcpus_are_plugged_before_the_guest_runs(place: Path) -> None:
    async def look(started: Started) -> None:
        cpus = await started.ask("query-hotpluggable-cpus")
        assert isinstance(cpus, list)
        there = {tuple(sorted(cpu["props"].items())) for cpu in cpus if "qom-path" in cpu}
        assert there == {(("core-id", 0), ("die-id", 0), ("socket-id", 0), ("thread-id", 0)),
                         (("core-id", 0), ("die-id", 1), ("socket-id", 1), ("thread-id", 0))}  # fmt: skip

    vcpus = "<vcpus><vcpu id='0' enabled='yes'/><vcpu id='6' enabled='yes' hotpluggable='yes'/></vcpus>"
    run(place, look, more=f"<vcpu>8</vcpu>{vcpus}<cpu><topology sockets='2' dies='2' cores='2' threads='1'/></cpu>")


def test_the_model_of_the_cpu(place: Path) -> None:
    async def look(started: Started) -> None:
        features = {
            name: await started.ask("qom-get", path="/machine/unattached/device[0]", property=name)
            for name in ("type", "sse4.2", "aes", "hv-relaxed", "pmu")
        }
        assert features == {
            "type": "Nehalem-x86_64-cpu",
            "sse4.2": False,
            "aes": True,
            "hv-relaxed": True,
            "pmu": False,
        }

    cpu = "<cpu><model>Nehalem</model><feature policy='disable' name='sse4.2'/><feature policy='require' name='aes'/></cpu>"
    run(place, look, more=cpu, features=ENLIGHTENED)


def test_io_threads(place: Path) -> None:
    async def look(started: Started) -> None:
        iothreads = await started.ask("query-iothreads")
        assert isinstance(iothreads, list)
        polls = {thread["id"]: thread["poll-max-ns"] for thread in iothreads}
        assert polls.keys() == {"iothread1", "iothread4"} and polls["iothread4"] == 9

    run(place, look, **EVERYTHING["threads"])


def test_the_table_of_models_is_what_qemu_answers() -> None:
    """Every model of the table that this QEMU knows has the features that the table says."""
    if not Path("/dev/kvm").exists():
        pytest.skip("without KVM the table cannot be compared")
    known = named_models()
    for name, row in models(EMULATOR).items():
        assert known[name].features == frozenset(str(row["features"]).split()) - OF_GUESTS, name
        assert (known[name].vendor, known[name].family, known[name].model) == (
            row["vendor"],
            row["family"],
            row["model"],
        )
