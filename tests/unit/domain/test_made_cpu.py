"""The CPU that a guest got: told in its documents, and kept apart from the one that was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontinus.api.engine import Engine
from frontinus.domain.cpu.made import MadeCpu, as_made, deviation, features
from frontinus.domain.cpu.model import Cpu, CpuFeature, CpuModelName
from frontinus.domain.cpu.named import named_models
from frontinus.mock.tending import MockTending
from support.guests import document, qemu72

CAPS = replace(qemu72(), host_cpu={"tcg": dict.fromkeys(("avx", "avx2", "rtm", "hle", "sse4.2", "hypervisor"), True)})
SOME = st.frozensets(st.sampled_from(sorted(features(CAPS) | named_models()["Haswell"].features)))


def made_from(cpu: Cpu, dropped: frozenset[str], added: frozenset[str]) -> MadeCpu:
    """What a hypervisor makes of a CPU that drops and adds these wherever it can."""
    policies = {f.name: f.policy for f in cpu.features}
    asked = {name for name, policy in policies.items() if policy == "require"}
    wanted = (named_models()[cpu.model.name or ""].features if cpu.model else frozenset()) | asked
    on = (wanted - {name for name, policy in policies.items() if policy == "disable"}) - dropped
    return MadeCpu(dropped & wanted & asked, on | (added - policies.keys()))


@given(dropped=SOME, added=SOME, asked=SOME)
def test_a_cpu_that_is_told_as_it_was_made_is_made_the_same(
    dropped: frozenset[str], added: frozenset[str], asked: frozenset[str]
) -> None:
    cpu = Cpu(mode="custom", match="exact", check="none", model=CpuModelName(name="Haswell", fallback="allow"),
              features=[CpuFeature(name=name, policy="require") for name in sorted(asked)])  # fmt: skip
    told = as_made(cpu, deviation(cpu, made_from(cpu, dropped, added - dropped), CAPS))
    assert (told.check, told.model and told.model.fallback) == ("full", "forbid")
    again = deviation(told, made_from(told, dropped, added - dropped), CAPS)
    assert (again.added, again.lacking, list(again.reasons())) == (frozenset(), frozenset(), [])


def test_a_full_check_wants_the_very_cpu() -> None:
    haswell = named_models()["Haswell"].features
    cpu = Cpu(mode="custom", check="full", model=CpuModelName(name="Haswell"))
    for made, told in (
        (MadeCpu(frozenset(), haswell | {"hypervisor"}), []),
        (MadeCpu(frozenset({"rtm"}), haswell - {"rtm"}), ["the guest's CPU lacks the features rtm"]),
        (MadeCpu(frozenset(), haswell | {"fma4"}), []),  # of which this QEMU does not know
        (MadeCpu(frozenset(), haswell - {"vme"}), []),  # TCG leaves it out of every model
    ):
        assert list(deviation(cpu, made, CAPS).reasons()) == told
    less = Cpu(mode="custom", check="full", model=CpuModelName(name="Nehalem"))
    made = MadeCpu(frozenset(), named_models()["Nehalem"].features | {"avx"})
    assert list(deviation(less, made, CAPS).reasons()) == ["the guest's CPU has the extra features avx"]


async def test_a_snapshot_keeps_both_cpus(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MockTending, "dropped", frozenset({"rtm"}))
    disk = "<disk type='file'><driver type='qcow2'/><source file='/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    cpu = "<cpu mode='custom' check='none'><model>Haswell</model></cpu>"
    await engine.define(document(disk, more=cpu))
    await engine.start("test")
    assert "<feature policy='disable' name='rtm'/>" in await engine.guest_xml("test")
    await engine.create_snapshot("test", "<domainsnapshot><name>s</name></domainsnapshot>")
    await engine.destroy("test")
    monkeypatch.setattr(MockTending, "dropped", frozenset())
    await engine.revert_snapshot("test", "s")
    assert "<feature policy='disable' name='rtm'/>" in await engine.guest_xml("test")
    for flags in (["migratable"], ["inactive"]):
        assert "policy='disable' name='rtm'" not in await engine.guest_xml("test", flags)  # type: ignore[arg-type]
