"""The guest's CPU against what there is: checked before a start and after, chosen for the run, compared by commands."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from frontinus.api.engine import Engine, XmlFlag
from frontinus.api.errors import InvalidXML, Unsupported
from trial import Daemon

GUEST = """<domain type='qemu'><name>cpu</name><uuid>9c1b9c62-6f5a-4a24-9b2b-0c7d5b0e31d5</uuid>
<memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>{}</domain>"""


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


async def cpu_of(engine: Engine, flags: Sequence[XmlFlag] = ()) -> str:
    found = re.search(r"<cpu .*</cpu>", await engine.guest_xml("cpu", flags), re.DOTALL)
    assert found
    return found[0]


async def start(engine: Engine, cpu: str) -> str:
    """The CPU of the guest once it has started."""
    await engine.define(GUEST.format(cpu))
    await engine.start("cpu", paused=True)
    live = await cpu_of(engine)
    await engine.destroy("cpu")
    return live


async def test_a_cpu_that_is_checked_is_there_or_the_guest_does_not_start(engine: Engine) -> None:
    """TCG emulates no TSX: rtm is what it lacks, said by the model or by the guest."""
    for cpu, told in (
        ("<cpu mode='custom' check='full'><model>Haswell</model></cpu>", "lacks the features .*rtm"),
        (
            "<cpu mode='custom' check='full'><model>Nehalem</model><feature policy='force' name='rtm'/></cpu>",
            "lacks the features rtm$",
        ),
        ("<cpu mode='custom' check='partial'><model>Haswell</model></cpu>", "does not provide the features .*rtm"),
        (
            "<cpu mode='custom' check='partial'><model>Nehalem</model><feature policy='require' name='rtm'/></cpu>",
            "rtm",
        ),
        (
            "<cpu mode='custom' check='partial'><model>Nehalem</model><feature policy='forbid' name='avx2'/></cpu>",
            "avx2",
        ),
    ):
        with pytest.raises(Unsupported, match=told):
            await start(engine, cpu)
        assert (await engine.guest("cpu")).state == "shutoff"
    full = "<cpu mode='custom' check='full'><model>Nehalem</model><feature policy='require' name='avx2'/></cpu>"
    for cpu in (full, "<cpu mode='custom' check='none'><model>Haswell</model></cpu>"):
        assert "<model" in await start(engine, cpu)


async def test_the_document_tells_the_cpu_that_the_guest_has(daemon: Daemon, place: Path) -> None:
    """What QEMU dropped and added is said while the guest runs, by an engine that found it too, and where it is saved."""
    asked = "<cpu mode='custom' check='none'><model>Haswell</model><feature policy='require' name='rtm'/></cpu>"
    saved = str(place / "saved")
    async with daemon.engine() as engine:
        await engine.define(GUEST.format(asked))
        await engine.start("cpu", paused=True)
        live, definition = await cpu_of(engine), await engine.guest_xml("cpu", ["inactive"])
        for said in ("check='full'", "<model fallback='forbid'>Haswell</model>", "policy='disable' name='rtm'",
                     "policy='disable' name='hle'", "policy='require' name='hypervisor'"):  # fmt: skip
            assert said in live
        assert "name='avx2'" not in live and "name='hle'" not in definition
        assert await qemu_says(engine, "rtm") == (False, True)
        assert "name='hle'" not in await cpu_of(engine, ["migratable"])
    await daemon.kill()
    await daemon.start()
    async with daemon.engine() as engine:
        assert await cpu_of(engine) == live and "name='hle'" not in await cpu_of(engine, ["migratable"])
        running = await engine.guest_xml("cpu")
        await engine.save("cpu", saved)
        for xml in (None, definition, running):
            await engine.restore(saved, xml)
            assert await cpu_of(engine) == live and "name='hle'" not in await cpu_of(engine, ["migratable"])
            assert await qemu_says(engine, "rtm") == (False, False)  # it was told so this time
            await engine.save("cpu", saved)
        with pytest.raises(InvalidXML, match="Haswell became Nehalem"):
            await engine.restore(saved, definition.replace("Haswell", "Nehalem"))
        await engine.redefine_saved(saved, definition)
        await engine.restore(saved)
        assert await cpu_of(engine) == live
        await engine.destroy("cpu")


async def qemu_says(engine: Engine, feature: str) -> tuple[bool, bool]:
    """Whether the guest's CPU has a feature, and whether it was dropped."""
    path = json.loads(await engine.monitor_command("cpu", "query-cpus-fast"))["return"][0]["qom-path"]

    async def get(name: str) -> Any:
        arguments = {"path": path, "property": name}
        answer = await engine.monitor_command("cpu", json.dumps({"execute": "qom-get", "arguments": arguments}))
        return json.loads(answer)["return"]

    return await get(feature), feature in await get("unavailable-features")


async def test_the_hosts_model_is_settled_for_the_run(engine: Engine) -> None:
    live = await start(engine, "<cpu mode='host-model'/>")
    assert "mode='custom'" in live and re.search(r"<model fallback='forbid'>[\w-]+</model>", live)
    assert "mode='host-model'" in await engine.guest_xml("cpu", ["inactive"])


async def test_hosts_are_compared_by_their_own_documents(engine: Engine) -> None:
    mine, guests = await engine.capabilities(), await engine.domain_capabilities(virt_type="qemu")
    assert re.search(r"<cpu>\s*<arch>x86_64</arch>\s*<model>", mine)
    assert await engine.compare_cpu(mine) == "identical"
    assert await engine.compare_hypervisor_cpu(guests, virt_type="qemu") == "identical"
    assert await engine.compare_hypervisor_cpu("<cpu><model>Haswell</model></cpu>", virt_type="qemu") == "incompatible"
    common = await engine.baseline_hypervisor_cpu([guests, guests], virt_type="qemu", migratable=True)
    assert await engine.compare_hypervisor_cpu(common, virt_type="qemu") in ("superset", "identical")
