"""Named CPU models, and the one that is nearest to a processor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities, CpuModel
from frontinus.domain.cpu.host import concrete_cpu
from frontinus.domain.cpu.named import UNSURE, Processor, named_models, nearest, processor
from frontinus.domain.cpu.names import qemu_feature
from frontinus.domain.definition import parse_guest
from support.guests import qemu72
from support.whole_guest import options, plan, text


def of(name: str, *more: str, without: tuple[str, ...] = (), sure: bool = False) -> Processor:
    """A processor that is a model with features more or less."""
    model = named_models()[name]
    features = (model.features | set(more)) - set(without)
    return Processor(features, model.vendor, model.family, model.model, sure)


def test_the_table() -> None:
    models = named_models()
    assert len(models) > 60
    assert {"Haswell-noTSX", "EPYC-Rome", "SapphireRapids", "qemu64"} <= models.keys()
    assert "rtm" in models["Haswell"].features and "rtm" not in models["Haswell-noTSX"].features
    assert not any(
        feature.startswith(("kvm", "hv-", "vmx-")) for model in models.values() for feature in model.features
    )


@pytest.mark.parametrize(
    "name", ["Nehalem", "Haswell-IBRS", "Skylake-Server-noTSX-IBRS", "EPYC-Milan", "Opteron_G5", "Dhyana"]
)
def test_a_model_is_nearest_to_itself(name: str) -> None:
    found = nearest(of(name), named_models())
    assert found and found.model.name == name and not found.off


def test_the_same_generation_comes_before_a_better_fit() -> None:
    found = nearest(of("Skylake-Client", without=("avx2", "bmi1", "bmi2", "adx", "smap")), named_models())
    assert found and found.model.name.startswith("Skylake-Client") and {"avx2", "smap"} <= found.off


def test_only_what_is_there_and_of_the_vendor() -> None:
    wanted = of("EPYC-Milan")
    found = nearest(wanted, ["Nehalem", "EPYC", "Opteron_G1"])
    assert (
        found
        and found.model.name == "EPYC"
        and found.model.features | found.on == wanted.features | found.model.features
    )
    assert nearest(wanted, ["Nehalem"]) is None
    preferred = nearest(wanted, named_models(), preferred="EPYC-Rome")
    assert preferred and preferred.model.name == "EPYC-Rome"


def test_what_a_host_may_have_without_showing_it() -> None:
    assert "topoext" in UNSURE
    hidden, surely_not = (nearest(of("EPYC", without=("topoext",), sure=sure), ["EPYC"]) for sure in (False, True))
    assert hidden and surely_not and hidden.off == frozenset() and surely_not.off == {"topoext"}


def test_qemu_s_answer_becomes_a_processor() -> None:
    found = processor({"aes": True, "avx": False, "kvm-pv-eoi": True, "vmx-ept": True, "lmce": True, "family": 6, "model": 94,
                       "vendor": "GenuineIntel", "model-id": "x"})  # fmt: skip
    assert found == Processor(frozenset({"aes"}), "GenuineIntel", 6, 94)


def test_names_of_features() -> None:
    assert [qemu_feature(name) for name in ("pclmuldq", "cmp_legacy", "aes")] == ["pclmulqdq", "cmp-legacy", "aes"]


SKYLAKE = {"vendor": "GenuineIntel", "family": 6, "model": 94, "invtsc": True, "hypervisor": True,
           **dict.fromkeys(named_models()["Skylake-Client-IBRS"].features - {"hle", "rtm"}, True)}  # fmt: skip


def capabilities(**changes: object) -> Capabilities:
    """QEMU 7.2 on a processor without TSX, in front of us or emulated."""
    models = (*(CpuModel(name) for name in named_models() if name != "YongFeng"),)
    facts = {"host_cpu": {"kvm": SKYLAKE, "tcg": SKYLAKE}, "cpu_models": {"kvm": models, "tcg": models}, **changes}
    return replace(qemu72(), **facts)  # type: ignore[arg-type]


def cpu_of(cpu: str, caps: Capabilities) -> str:
    return options(plan(cpu, caps, type="kvm").argv)["cpu"][0]


def test_host_model() -> None:
    assert cpu_of("<cpu mode='host-model'/>", capabilities()) == "Skylake-Client-noTSX-IBRS,hypervisor=on,invtsc=on"


def test_the_user_s_own_features_win() -> None:
    said = cpu_of("<cpu mode='host-model'><feature policy='disable' name='invtsc'/><feature policy='require' name='rtm'/>"
                  "<feature policy='optional' name='avx2'/><feature policy='optional' name='hle'/></cpu>",
                  capabilities())  # fmt: skip
    assert said == "Skylake-Client-noTSX-IBRS,hypervisor=on,invtsc=off,rtm=on,avx2=on,hle=off"


def test_optional_features_of_a_named_model() -> None:
    said = cpu_of("<cpu><model>Nehalem</model><feature policy='optional' name='avx2'/>"
                  "<feature policy='optional' name='rtm'/></cpu>", capabilities())  # fmt: skip
    assert said == "Nehalem,avx2=on,rtm=off"


def test_at_least_a_model() -> None:
    said = cpu_of("<cpu match='minimum'><model>Haswell-noTSX-IBRS</model></cpu>", capabilities())
    assert said == "Skylake-Client-noTSX-IBRS,hypervisor=on,invtsc=on", "it is a minimum: the host's best is given"


def test_a_model_that_this_qemu_lacks_is_built_from_another() -> None:
    caps = capabilities(cpu_models={"kvm": (CpuModel("Haswell-noTSX-IBRS"), CpuModel("EPYC"))})
    said = cpu_of("<cpu><model>Broadwell-noTSX-IBRS</model></cpu>", caps).split(",")
    assert said[0] == "Haswell-noTSX-IBRS" and {"adx=on", "rdseed=on", "smap=on", "3dnowprefetch=on"} <= set(said)


def test_what_qemu_did_not_tell() -> None:
    with pytest.raises(Unsupported, match="host-model"):
        cpu_of("<cpu mode='host-model'/>", capabilities(host_cpu={}))
    guest = parse_guest(text("<cpu><model>Nehalem</model></cpu>"))
    assert guest.cpu and concrete_cpu(guest, capabilities(host_cpu={}), guest.cpu) == guest.cpu
    with pytest.raises(Unsupported, match="no model"):
        cpu_of("<cpu mode='host-model'/>", capabilities(cpu_models={"kvm": (CpuModel("EPYC"),)}))
