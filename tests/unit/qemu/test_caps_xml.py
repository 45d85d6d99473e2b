"""What is told of a binary, from a small recorded probe; and against recorded probes of real releases where they are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest

from frontinus.api.errors import InvalidValue, Unsupported
from frontinus.domain.capabilities import Capabilities, CpuModel
from frontinus.domain.cpu.named import named_models
from frontinus.domain.host import Firmware, HostFacts, NumaNode
from frontinus.qemu.caps import transcript, xml_capabilities, xml_domain
from frontinus.qemu.caps.replies import from_sessions
from recordings import BASE, SECOND, recording

FIRMWARE = Firmware("f.json", ("uefi",), "flash", "/fw/code.fd", targets=(("x86_64", "pc-*"),))


@pytest.fixture
def caps() -> Capabilities:
    return from_sessions(transcript.read(recording(BASE, SECOND)), "/opt/qemu")


def parse(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def values(root: ElementTree.Element, path: str) -> list[str | None]:
    return [node.text for node in root.findall(path)]


def test_domain_capabilities(caps: Capabilities) -> None:
    root = parse(xml_domain.describe(caps, HostFacts(firmware=(FIRMWARE,))))
    assert [root.findtext(name) for name in ("path", "domain", "machine", "arch")] == [
        "/opt/qemu", "kvm", "pc-9", "x86_64"]  # fmt: skip
    assert root.find("vcpu").attrib == {"max": "255"}  # type: ignore[union-attr]
    assert values(root, "os/enum[@name='firmware']/value") == ["efi"]
    assert values(root, "os/loader/value") == ["/fw/code.fd"]
    assert values(root, "devices/disk/enum[@name='bus']/value") == ["scsi"]  # the recorded binary has nothing else
    assert values(root, "devices/tpm/enum[@name='model']/value") == ["tpm-crb"]
    assert values(root, "devices/graphics/enum/value") == []
    assert root.find("features/sev").attrib == {"supported": "no"}  # type: ignore[union-attr]
    assert root.find("cpu/mode[@name='host-passthrough']").attrib["supported"] == "yes"  # type: ignore[union-attr]


def test_machine_and_type_are_asked_for(caps: Capabilities) -> None:
    root = parse(xml_domain.describe(caps, HostFacts(), "isapc", "qemu"))
    assert root.findtext("machine") == "isapc" and root.findtext("domain") == "qemu"
    assert values(root, "devices/disk/enum[@name='bus']/value") == ["ide", "scsi"]
    assert values(root, "os/enum[@name='firmware']/value") == []  # no descriptor is for this machine
    assert root.find("cpu/mode[@name='host-passthrough']").attrib["supported"] == "no"  # type: ignore[union-attr]
    with pytest.raises(InvalidValue, match="tape"):
        xml_domain.describe(caps, HostFacts(), "tape")
    for kind in ("xen", "tcg"):
        with pytest.raises(Unsupported, match=kind):
            xml_domain.describe(caps, HostFacts(), None, kind)
    with pytest.raises(Unsupported, match="kvm"):
        xml_domain.describe(dataclasses.replace(caps, kvm=False), HostFacts(), None, "kvm")


def test_custom_models(caps: Capabilities) -> None:
    models = (CpuModel("host", True), CpuModel("EPYC", True, canonical="EPYC-v2"), CpuModel("EPYC-v2", True),
              CpuModel("phenom-v1", False), CpuModel("Haswell", False), CpuModel("qemu64", None, deprecated=True))  # fmt: skip
    changed = dataclasses.replace(caps, cpu_models={"kvm": models})
    found = parse(xml_domain.describe(changed, HostFacts())).findall("cpu/mode[@name='custom']/model")
    assert "<mode name='custom' supported='yes'>" in xml_domain.describe(changed, HostFacts())
    assert [(m.text, m.attrib) for m in found] == [
        ("EPYC", {"usable": "yes", "vendor": "AMD", "canonical": "EPYC-v2"}), ("EPYC-v2", {"usable": "yes", "vendor": "AMD"}),
        ("phenom-v1", {"usable": "no", "vendor": "AMD"}), ("Haswell", {"usable": "no", "vendor": "Intel"}),
        ("qemu64", {"usable": "unknown", "deprecated": "yes", "vendor": "unknown"})]  # fmt: skip


def test_a_host_s_model_is_one_that_every_release_knows(caps: Capabilities) -> None:
    models = (CpuModel("EPYC", True, canonical="EPYC-v2"), CpuModel("EPYC-v2", True))
    changed = dataclasses.replace(
        caps, cpu_models={"kvm": models}, host_cpu={"kvm": {"vendor": "AuthenticAMD", "sse2": True}}
    )
    assert parse(xml_domain.describe(changed, HostFacts())).findtext("cpu/mode[@name='host-model']/model") == "EPYC"


@pytest.mark.parametrize(("knows", "told"), [(True, ["yes", "no"]), (False, ["no"])])
def test_whether_devices_are_reached_by_iommufd(caps: Capabilities, knows: bool, told: list[str]) -> None:
    able = dataclasses.replace(caps, properties={**caps.properties, "vfio-pci": {"iommufd": "link<iommufd>"}},
                               granted=frozenset({"object-add/arg-type/qom-type=iommufd"}))  # fmt: skip
    root = parse(xml_domain.describe(able if knows else caps, HostFacts()))
    assert values(root, "devices/hostdev/enum[@name='iommufd']/value") == told


def test_firmware_is_offered_as_its_descriptors_say(caps: Capabilities) -> None:
    secure = dataclasses.replace(FIRMWARE, features=frozenset({"secure-boot", "requires-smm", "enrolled-keys"}))
    bios = dataclasses.replace(FIRMWARE, interfaces=("bios",), device="memory", executable="/fw/bios.bin")
    other = dataclasses.replace(FIRMWARE, targets=(("x86_64", "other-*"),), executable="/fw/other.fd")
    for firmware, kinds, secure_boot, keys, loader in (
        ((secure,), ["efi"], ["yes"], ["yes"], ["yes", "no"]),
        ((FIRMWARE,), ["efi"], ["no"], ["no"], ["no"]),
        ((secure, FIRMWARE, bios, other), ["bios", "efi"], ["yes", "no"], ["yes", "no"], ["yes", "no"]),
        ((bios, other), ["bios"], [], [], ["no"]),
        ((), [], [], [], ["no"]),
    ):
        os = parse(xml_domain.describe(caps, HostFacts(firmware=firmware))).find("os")
        assert os is not None
        assert values(os, "enum[@name='firmware']/value") == kinds
        assert values(os, "firmwareFeatures/enum[@name='secureBoot']/value") == secure_boot
        assert values(os, "firmwareFeatures/enum[@name='enrolledKeys']/value") == keys
        assert values(os, "loader/enum[@name='secure']/value") == loader
        assert "/fw/other.fd" not in values(os, "loader/value")
        assert os.find("varstore").attrib == {"supported": "no"}  # type: ignore[union-attr]


def test_a_variable_store_needs_the_device_and_a_descriptor(caps: Capabilities) -> None:
    vars = dataclasses.replace(FIRMWARE, device="memory", features=frozenset({"host-uefi-vars"}))
    for types, firmware, there in (
        ({"uefi-vars-x64"}, vars, "yes"),
        (set(), vars, "no"),
        ({"uefi-vars-x64"}, FIRMWARE, "no"),
    ):
        changed = dataclasses.replace(caps, types=caps.types | types)
        root = parse(xml_domain.describe(changed, HostFacts(firmware=(firmware,))))
        assert root.find("os/varstore").attrib == {"supported": there}  # type: ignore[union-attr]


def test_devices_are_there_where_each_choice_has_a_value(caps: Capabilities) -> None:
    root = parse(xml_domain.describe(caps, HostFacts()))
    assert root.find("devices/crypto").attrib == {"supported": "no"}  # type: ignore[union-attr]
    whole = dataclasses.replace(
        caps, types=caps.types | {"virtio-crypto-pci", "cryptodev-backend-builtin", "pvpanic-pci", "vfio-pci"}
    )
    root = parse(xml_domain.describe(whole, HostFacts()))
    assert values(root, "devices/crypto/enum/value") == ["virtio", "qemu", "builtin"]
    assert values(root, "devices/panic/enum/value") == ["pvpanic", "hyperv"]
    assert values(root, "devices/interface/enum/value")[0] == "default"
    assert {"pty", "unix", "tcp"} <= {*values(root, "devices/console/enum/value")}
    backends = "devices/hostdev/enum[@name='pciBackend']/value"
    assert values(root, backends) == ["default", "vfio"]
    assert values(parse(xml_domain.describe(whole, HostFacts(vfio=False))), backends) == []


def test_what_secures_guests(caps: Capabilities) -> None:
    for types, sev, there in ((set(), None, []), (set(), {}, ["sev"]), ({"sev-snp-guest"}, {}, ["sev", "sev-snp"]),
                              ({"tdx-guest"}, None, ["tdx"])):  # fmt: skip
        changed = dataclasses.replace(caps, sev=sev, types=caps.types | types)
        assert values(parse(xml_domain.describe(changed, HostFacts())), "features/launchSecurity/enum/value") == there
        tcg = parse(xml_domain.describe(changed, HostFacts(), None, "qemu"))
        assert tcg.find("features/launchSecurity").attrib == {"supported": "no"}  # type: ignore[union-attr]


def test_what_keeps_a_model_from_running_is_told(caps: Capabilities) -> None:
    models = (CpuModel("Haswell", False, ("rtm", "hle", "lahf-lm"), canonical="Haswell-v1"), CpuModel("EPYC", True))
    changed = dataclasses.replace(caps, cpu_models={"kvm": models})
    mode = parse(xml_domain.describe(changed, HostFacts())).find("cpu/mode[@name='custom']")
    assert mode is not None
    assert [one.tag for one in mode] == ["model", "blockers", "model"] and mode[0].get("canonical") == "Haswell-v1"
    assert [feature.get("name") for feature in mode.findall("blockers[@model='Haswell']/feature")] == [
        "hle",
        "lahf_lm",
        "rtm",
    ]


def test_addresses_are_as_wide_as_the_hosts(caps: Capabilities) -> None:
    host = {"kvm.all": {"vendor": "GenuineIntel"}, "tcg.all": {"vendor": "GenuineIntel"}}
    models = tuple(CpuModel(name) for name in named_models())
    changed = dataclasses.replace(caps, host_cpu=host, cpu_models={"kvm": models, "tcg": models})
    path = "cpu/mode[@name='host-model']/maxphysaddr"
    width = parse(xml_domain.describe(changed, HostFacts(physical_bits=46))).find(path)
    assert width is not None and width.attrib == {"mode": "passthrough", "limit": "46"}
    assert parse(xml_domain.describe(changed, HostFacts(physical_bits=46), None, "qemu")).find(path) is None


def test_host_model_is_the_nearest(caps: Capabilities) -> None:
    haswell = named_models()["Haswell"]
    properties: dict[str, object] = {name: True for name in haswell.features - {"erms"} | {"hypervisor"}}
    properties |= {
        "vendor": "GenuineIntel",
        "family": haswell.family,
        "model": haswell.model,
        "invtsc": True,
        "tsc-adjust": True,
        "hv-time": True,
    }
    changed = dataclasses.replace(
        caps, host_cpu={"kvm": properties}, cpu_models={"kvm": tuple(CpuModel(name) for name in named_models())}
    )
    mode = parse(xml_domain.describe(changed, HostFacts())).find("cpu/mode[@name='host-model']")
    assert mode is not None and mode.findtext("vendor") == "Intel" and mode.findtext("model") == "Haswell"
    assert [(f.get("policy"), f.get("name")) for f in mode.findall("feature")] == [
        ("require", "hypervisor"), ("require", "invtsc"), ("require", "tsc_adjust"), ("disable", "erms")]  # fmt: skip


def test_host_model_tells_also_what_cannot_migrate(caps: Capabilities) -> None:
    migratable: dict[str, object] = {"vendor": "GenuineIntel", "sse2": True}
    changed = dataclasses.replace(
        caps, host_cpu={"kvm": migratable, "kvm.all": {**migratable, "invtsc": True}},
        cpu_models={"kvm": tuple(CpuModel(name) for name in named_models())},
    )  # fmt: skip
    mode = parse(xml_domain.describe(changed, HostFacts())).find("cpu/mode[@name='host-model']")
    assert mode is not None and mode.find("feature[@name='invtsc']") is not None


def test_enlightenments_of_kvm_alone(caps: Capabilities) -> None:
    properties = {"hv-relaxed": True, "hv-evmcs": False, "hv-spinlocks": 4095, "hv-vendor-id": "x"}
    changed = dataclasses.replace(caps, host_cpu={**caps.host_cpu, "kvm.hyperv": properties})
    path = "features/hyperv/enum/value"
    assert values(parse(xml_domain.describe(changed, HostFacts())), path) == ["relaxed", "spinlocks", "vendor_id"]
    assert parse(xml_domain.describe(changed, HostFacts(), None, "qemu")).find("features/hyperv") is None


def test_sev_and_sgx(caps: Capabilities) -> None:
    changed = dataclasses.replace(
        caps, sev={"cbitpos": 47, "reduced-phys-bits": 1},
        sgx={"sgx": True, "sgx1": True, "sgx2": False, "flc": True, "sections": [{"node": 0, "size": 1 << 20}]},
    )  # fmt: skip
    features = parse(xml_domain.describe(changed, HostFacts())).find("features")
    assert features is not None
    assert features.findtext("sev/cbitpos") == "47" and features.findtext("sgx/section_size") == "1024"
    assert features.find("sgx/sections/section").attrib == {"node": "0", "size": "1024", "unit": "KiB"}  # type: ignore[union-attr]


def test_capabilities(caps: Capabilities) -> None:
    nodes = (NumaNode(0, 1 << 30, (0, 1), (10, 20), {4096: 5}), NumaNode(1, 2 << 30, (2,), (20, 10)))
    features = named_models()["EPYC-Rome"].features | {"invtsc", "xtopology"}
    host = HostFacts(cpu_vendor="AuthenticAMD", cpu_features=features, cpu_numbers=(23, 49, 0), nodes=nodes)
    root = parse(xml_capabilities.describe(caps, host))
    assert [root.findtext(f"host/cpu/{name}") for name in ("model", "vendor")] == ["EPYC-Rome", "AMD"]
    assert root.find("host/cpu/signature").attrib == {"family": "23", "model": "49", "stepping": "0"}  # type: ignore[union-attr]
    assert [f.get("name") for f in root.findall("host/cpu/feature")] == ["invtsc"], "and none that only the kernel has"
    cells = root.findall("host/topology/cells/cell")
    assert [c.findtext("memory") for c in cells] == ["1048576", "2097152"]
    assert [c.attrib for c in cells[0].findall("cpus/cpu")] == [{"id": "0"}, {"id": "1"}]
    assert cells[1].find("distances/sibling[@id='0']").get("value") == "20"  # type: ignore[union-attr]
    arch = root.find("guest/arch[@name='x86_64']")
    assert arch is not None and arch.findtext("wordsize") == "64"
    assert [d.get("type") for d in arch.findall("domain")] == ["qemu", "kvm"]
    assert arch.find("machine[@canonical='pc-9']").text == "pc"  # type: ignore[union-attr]
    assert [m.text for m in arch.findall("machine[@deprecated='yes']")] == ["isapc"]


EXPECTED = Path(__file__).parents[4] / "shared/corpus/open/domaincaps"
NEWER = (*(f"devices/{name}" for name in ("crypto", "interface", "panic", "console")), "devices/hostdev/enum[iommufd]",
         "os/firmwareFeatures", "os/varstore",
         *(f"features/{name}" for name in ("async-teardown", "s390-pv", "ps2", "tdx", "launchSecurity")))  # fmt: skip
"""Elements of later releases than the recorded one."""
ALLOWED = ("cpu", "os/loader", "features/hyperv", "devices/tpm", "features/sev", *NEWER)
"""Where we tell more, or what the host tells and not the probe."""


@pytest.mark.skipif(not EXPECTED.is_dir(), reason="no recorded expectations beside the checkout")
@pytest.mark.parametrize("name", sorted(p.name for p in EXPECTED.glob("*")) if EXPECTED.is_dir() else [])
def test_recorded_releases(name: str) -> None:
    import lzma

    release, _, variant = name.removeprefix("qemu_").removesuffix(".x86_64").partition("-")
    recorded = EXPECTED.parents[1] / f"facts/caps/caps_{release}.x86_64.replies.xz"
    caps = from_sessions(transcript.read(lzma.decompress(recorded.read_bytes())), "/usr/bin/qemu-system-x86_64")
    host = HostFacts(firmware=(FIRMWARE, dataclasses.replace(FIRMWARE, interfaces=("bios",), device="memory")))
    ours = parse(
        xml_domain.describe(caps, host, variant if variant == "q35" else None, "qemu" if variant == "tcg" else None)
    )
    theirs = parse((EXPECTED / name / "expected.xml").read_text())
    assert leaves(ours) == leaves(theirs)


def leaves(root: ElementTree.Element, path: str = "") -> set[tuple[str, str]]:
    """Every text and attribute with its path, but for the places allowed to differ."""
    found: set[tuple[str, str]] = set()
    for node in root:
        here = f"{path}/{node.tag}".lstrip("/")
        named = here + "".join(f"[{v}]" for k, v in node.attrib.items() if k == "name")
        if here in ALLOWED or named in ALLOWED:
            continue
        found |= {(named, (node.text or "").strip()), *((f"{named}@{k}", v) for k, v in node.attrib.items())}
        found |= leaves(node, here)
    return found
