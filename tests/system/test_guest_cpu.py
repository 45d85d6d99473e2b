"""The guest's CPU against what there is: checked before a start and after, chosen for the run, compared by commands."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from frontinus.api.engine import Engine
from frontinus.api.errors import Unsupported
from trial import Daemon

GUEST = """<domain type='qemu'><name>cpu</name><uuid>9c1b9c62-6f5a-4a24-9b2b-0c7d5b0e31d5</uuid>
<memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os>{}</domain>"""


@pytest.fixture
async def engine(daemon: Daemon) -> AsyncIterator[Engine]:
    async with daemon.engine() as engine:
        yield engine


async def start(engine: Engine, cpu: str) -> str:
    """The CPU of the guest once it has started."""
    await engine.define(GUEST.format(cpu))
    await engine.start("cpu", paused=True)
    live = re.search(r"<cpu .*</cpu>", await engine.guest_xml("cpu"), re.DOTALL)
    await engine.destroy("cpu")
    assert live
    return live[0]


async def test_a_cpu_that_is_checked_is_there_or_the_guest_does_not_start(engine: Engine) -> None:
    """TCG emulates no TSX: rtm is what it lacks, said by the model or by the guest."""
    for cpu, told in (
        ("<cpu mode='custom' check='full'><model>Haswell</model></cpu>", "lacks the features .*rtm"),
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
    full = "<cpu mode='custom' check='full'><model>Nehalem</model><feature policy='force' name='rtm'/></cpu>"
    for cpu in (full, "<cpu mode='custom' check='none'><model>Haswell</model></cpu>"):
        assert "<model" in await start(engine, cpu)


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
