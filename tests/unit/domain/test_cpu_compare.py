"""CPUs compared with a host's, what several have in common, and what a start makes of <cpu check>."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.capabilities import Capabilities, CpuModel
from frontinus.domain.cpu.compare import baseline, compare, described, for_guests, parse_cpu, physical
from frontinus.domain.cpu.host import misfits
from frontinus.domain.cpu.named import Processor, named_models
from frontinus.domain.cpu.names import kernel_features
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import HostFacts
from frontinus.domain.prepare import prepare
from support.guests import host, qemu72
from support.whole_guest import text

PENRYN = named_models()["Penryn"]
HERE = Processor(PENRYN.features | {"vmx", "ht"}, "GenuineIntel", 6, 23, True)


def penryn(*features: tuple[str, str], match: str = "exact", more: str = "") -> str:
    said = "".join(f"<feature name='{name}' policy='{policy}'/>" for name, policy in features)
    return f"<cpu match='{match}'><model>Penryn</model>{more}{said}</cpu>"


ALL = (("vmx", "require"), ("ht", "require"))


@pytest.mark.parametrize(
    ("xml", "result"),
    [
        (penryn(), "superset"),
        (penryn(*ALL), "identical"),
        (penryn(("vmx", "require"), ("ht", "disable")), "identical"),
        (penryn(("vmx", "optional"), ("ht", "force")), "identical"),
        (penryn(match="strict"), "incompatible"),
        (penryn(*ALL, ("3dnow", "force"), match="strict"), "identical"),
        (penryn(("vmx", "forbid")), "incompatible"),
        (penryn(("avx", "require")), "incompatible"),
        (penryn(("avx", "force"), ("avx2", "optional")), "superset"),
        (penryn(more="<vendor>AMD</vendor>"), "incompatible"),
        ("<cpu><arch>ia64</arch><model>Penryn</model></cpu>", "incompatible"),
        ("<cpu><model>Haswell</model></cpu>", "incompatible"),
        ("<capabilities><host><cpu><model>Conroe</model></cpu></host></capabilities>", "superset"),
        ("<domain><cpu><model>Penryn</model><feature name='sse4.1' policy='disable'/></cpu></domain>", "superset"),
    ],
)
def test_compared_with_a_host(xml: str, result: str) -> None:
    assert compare(parse_cpu(xml), HERE) == result


@pytest.mark.parametrize("xml", ["<cpu><model>Bogus</model></cpu>", penryn(("bogus", "optional")), "<domain/>", "<cpu"])
def test_what_describes_no_cpu(xml: str) -> None:
    with pytest.raises(InvalidXML):
        parse_cpu(xml, known={"vmx"})


def test_a_baseline_is_what_all_have() -> None:
    one, other = (parse_cpu(f"<cpu><model>{name}</model><feature name='invtsc'/><feature name='vmx'/></cpu>")
                  for name in ("Haswell-noTSX", "Nehalem"))  # fmt: skip
    found = baseline([one, other])
    assert found.model and found.model.name == "Nehalem"
    assert {f.name: f.policy for f in found.features} == {"invtsc": "require", "vmx": "require"}
    assert [f.name for f in baseline([one, other], migratable=True).features] == ["vmx"]
    expanded = {f.name for f in baseline([one, other], expand=True).features}
    assert {"lahf_lm", "sse4.2", "vmx"} <= expanded and "avx" not in expanded, "by the names that users know"
    known = baseline([one, other], known=["Penryn", "EPYC"])
    assert known.model and known.model.name == "Penryn" and "popcnt" in {f.name for f in known.features}
    with pytest.raises(Unsupported, match="no common baseline"):
        baseline([one, parse_cpu("<cpu><model>EPYC</model></cpu>")])
    with pytest.raises(InvalidXML, match="at least one"):
        baseline([])


def test_a_host_is_a_model_and_what_it_has_beside_it() -> None:
    epyc = named_models()["EPYC-Milan"]
    flags = kernel_features(["nonstop_tsc", "cmp_legacy", "tsc_adjust", "rep_good", "sse4_1"])
    assert flags == {"invtsc", "cmp-legacy", "tsc-adjust", "rep-good", "sse4.1"}
    facts = HostFacts(cpu_vendor="AuthenticAMD", cpu_numbers=(25, 1, 1), cpu_features=epyc.features | flags)
    here = physical(qemu72(), facts)
    assert here and "rep-good" not in here.features, "what only the kernel knows tells nothing"
    found = described(here)
    assert found and found.model and (found.model.name, found.vendor) == ("EPYC-Milan", "AMD")
    assert {"invtsc", "cmp_legacy", "tsc_adjust"} <= {f.name for f in found.features}
    assert {f.policy for f in found.features} == {"require"}
    assert physical(qemu72(), HostFacts()) is None


@pytest.mark.parametrize(
    ("numbers", "name"),
    [((6, 79, 1), "Broadwell"), ((6, 85, 4), "Skylake-Server"), ((6, 85, 7), "Cascadelake-Server"),
     ((6, 106, 6), "Icelake-Server")],
)  # fmt: skip
def test_hosts_of_one_generation_have_several_numbers(numbers: tuple[int, int, int], name: str) -> None:
    few = named_models()["Nehalem"].features
    family, model, stepping = numbers
    of = [
        m.name
        for m in named_models().values()
        if m.is_of(Processor(few, "GenuineIntel", family, model, True, stepping))
    ]
    assert name in of and all(other.startswith(name) for other in of)


FACTS = {
    "vendor": "GenuineIntel",
    "family": 6,
    "model": 94,
    **dict.fromkeys(named_models()["Skylake-Client"].features, True),
}


def caps(**blockers: tuple[str, ...]) -> Capabilities:
    models = (*(CpuModel(name, name not in blockers, blockers.get(name, ())) for name in named_models()),)
    return replace(qemu72(), cpu_models={"kvm": models}, host_cpu={"kvm": FACTS, "kvm.all": {**FACTS, "invtsc": True}})


def started(cpu: str, known: Capabilities) -> str:
    return "; ".join(misfits(prepare(parse_guest(text(cpu, type="kvm")), known, host(), guest_id=1), known))


@pytest.mark.parametrize(
    ("cpu", "told"),
    [
        ("<cpu mode='custom' check='{}'><model>Nehalem</model><feature policy='require' name='avx2'/></cpu>", ""),
        ("<cpu mode='custom' check='{}'><model>Nehalem</model><feature policy='require' name='invtsc'/></cpu>", ""),
        ("<cpu mode='custom' check='{}'><model>Nehalem</model><feature policy='require' name='svm'/></cpu>",
         "does not provide the features svm"),
        ("<cpu mode='custom' check='{}'><model>Nehalem</model><feature policy='force' name='svm'/></cpu>", ""),
        ("<cpu mode='custom' check='{}'><model>Nehalem</model><feature policy='forbid' name='avx2'/></cpu>",
         "provides the forbidden features avx2"),
        ("<cpu mode='custom' check='{}'><model>Icelake-Server</model></cpu>", "does not provide the features pku"),
        ("<cpu mode='custom' check='{}'><model>Icelake-Server</model><feature policy='disable' name='pku'/></cpu>", ""),
        ("<cpu mode='host-model' check='{}'/>", ""),
    ],
)  # fmt: skip
def test_a_cpu_is_checked_before_the_start(cpu: str, told: str) -> None:
    known = caps(**{"Icelake-Server": ("pku",)})
    assert told in started(cpu.format("partial"), known) and bool(told) == bool(started(cpu.format("partial"), known))
    assert started(cpu.format("none"), known) == ""


def test_what_depends_on_the_host_is_settled_for_the_run() -> None:
    live = prepare(parse_guest(text("<cpu mode='host-model'/>", type="kvm")), caps(), host(), guest_id=1)
    assert live.cpu and live.cpu.mode == "custom" and live.cpu.model and live.cpu.model.name == "Skylake-Client"


def test_what_guests_can_have() -> None:
    assert "invtsc" in for_guests(caps()).features
    with pytest.raises(Unsupported, match="qemu"):
        for_guests(caps(), "qemu")
