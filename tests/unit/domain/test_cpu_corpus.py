"""The corpus's cases on CPUs: compared, common, chosen for a guest, recognised. Models are QEMU's here and libvirt's there:
what a model's name stands for differs by a few features, so lists of features are not compared, models are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TypeVar
from xml.etree import ElementTree

import msgspec
import pytest

from frontinus.api.errors import FrontinusError, InvalidXML
from frontinus.domain.capabilities import Capabilities, CpuModel
from frontinus.domain.cpu.compare import VENDORS, baseline, compare, described, parse_cpu
from frontinus.domain.cpu.host import concrete_cpu
from frontinus.domain.cpu.model import Cpu
from frontinus.domain.cpu.named import Processor, named_models, nearest, processor
from frontinus.domain.cpu.names import HOSTS_ONLY, qemu_feature
from frontinus.domain.definition import format_guest, parse_guest
from frontinus.qemu.figure_answers import Cpu as Cpus
from frontinus.qemu.vcpus import Slot
from frontinus.xml import format_document
from support.corpus import CORPUS, cases
from support.guests import qemu72
from support.whole_guest import text

T = TypeVar("T")
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
KNOWN = frozenset(qemu72().properties["max-x86_64-cpu"]) if CORPUS.exists() else frozenset()
USABLE = {"NULL": tuple(named_models()), "models": ("qemu64", "core2duo"),
          "haswell": ("SandyBridge", "Haswell")}  # fmt: skip
"""What the hypervisor of a case knows, as far as it decides."""


def model_of(xml: str) -> str:
    return (ElementTree.fromstring(xml).findtext("model") or "").strip()


def named(cpu: Cpu | None) -> str | None:
    return cpu.model.name if cpu and cpu.model else None


def test_compared() -> None:
    wrong: dict[str, str] = {}
    for case in cases("cpu-compare"):
        try:
            here = parse_cpu(case["host.xml"], KNOWN)
            got: str = compare(parse_cpu(case["cpu.xml"], KNOWN), here.processor)
        except InvalidXML:
            got = "error"
        if got != case["result"].lower():
            wrong[case["id"]] = f"{got}, not {case['result']}"
    assert wrong == {}


def test_features_of_a_host() -> None:
    for case in cases("cpu-hasfeature"):
        has = qemu_feature(case["feature"]) in parse_cpu(case["host.xml"], KNOWN).features
        assert has == (case["result"] == "YES"), case["id"]


def test_in_common() -> None:
    found = total = 0
    for case in cases("cpu-baseline"):
        cpus = [
            ElementTree.tostring(cpu, encoding="unicode")
            for cpu in ElementTree.fromstring(case["cpus.xml"]).iter("cpu")
        ]
        made = baseline([parse_cpu(cpu, KNOWN) for cpu in cpus], migratable="MIGRATABLE" in case["flags"],
                        expand="EXPAND" in case["flags"])  # fmt: skip
        total += 1
        found += named(made) == model_of(case["expected.xml"])
        assert ("invtsc" in {f.name for f in made.features}) == ("name='invtsc'" in case["expected.xml"])
    for case in cases("cpu-cpuid-baseline"):
        made = baseline([parse_cpu(text, KNOWN) for text in map(as_cpu, (case["cpu1.xml"], case["cpu2.xml"]))])
        total += 1
        found += named(made) == model_of(case["expected.xml"])
    assert found >= 9, f"{found} of {total} models"


def as_cpu(xml: str) -> str:
    """What a host shows of a processor that is given by its CPUID; a <cpu> as it is."""
    root = ElementTree.fromstring(xml)
    if root.tag == "cpu":
        return xml
    leaf = next(node for node in root if int(node.get("eax_in") or "0", 0) == 1)
    number = int(leaf.get("eax") or "0", 0)
    family = (number >> 8 & 15) + (number >> 20 & 255)
    model = (number >> 4 & 15) + (number >> 12 & 240)
    vendor = "GenuineIntel" if "0x756e6547" in xml else "AuthenticAMD"
    features = frozenset(qemu_feature(name) for name in cpuid_features(xml))
    return format_document(described(Processor(features, vendor, family, model, True, number & 15)) or Cpu())


@cache
def of_host(xml: str, models: str) -> Capabilities:
    """A QEMU that knows some models, on a host."""
    here = parse_cpu(xml, KNOWN).processor
    props = {"vendor": here.vendor, "family": here.family, "model": here.model, **dict.fromkeys(here.features, True)}
    known = tuple(CpuModel(name, True) for name in USABLE[models])
    return replace(qemu72(), host_cpu={"kvm": props}, cpu_models={"kvm": known})


def test_chosen_for_a_guest() -> None:
    wrong: dict[str, str] = {}
    for case in [*cases("cpu-guestcpu"), *cases("cpu-update")]:
        cpu = re.sub(r"<topology[^>]*/>", "", case["cpu.xml"])
        caps = of_host(case["host.xml"], case["models"] or "NULL")
        guest = parse_guest(text(cpu, type="kvm"))
        assert guest.cpu
        try:
            got = concrete_cpu(guest, caps, guest.cpu)
        except FrontinusError:
            got = None
        if case["fail"]:
            continue  # what forbids another model is refused by the checks of a definition, not here
        if got is None or (got.mode or "custom", named(got)) != _expected(case["expected.xml"]):
            wrong[case["id"]] = str(got and (got.mode, named(got)))
    assert wrong == {}


def _expected(xml: str) -> tuple[str | None, str | None]:
    return ElementTree.fromstring(xml).get("mode"), model_of(xml) or None


def test_recognised() -> None:
    """A host by its CPUID, as <capabilities> shows it, and by QEMU's answer, as a guest with host-model gets it."""
    hosts = guests = total = asked = 0
    for case in cases("cpu-cpuid"):
        family, model, stepping = map(int, re.findall(r"(?:family|model|stepping):\s+(\d+)", case["signature"]))
        vendor = VENDORS.get(ElementTree.fromstring(case["expected-host.xml"]).findtext("vendor") or "")
        features = frozenset(qemu_feature(name) for name in cpuid_features(case["cpuid.xml"]))
        made = described(Processor(features, vendor, family, model, True, stepping))
        total += 1
        hosts += named(made) == model_of(case["expected-host.xml"])
        if "qmp.json" in case:
            answer = json.JSONDecoder().raw_decode(case["qmp.json"])[0]
            match = nearest(processor(answer["return"]["model"]["props"]), named_models())
            asked += 1
            guests += bool(match) and match.model.name == model_of(case["expected-json.xml"])
    assert hosts >= 0.75 * total and guests >= 0.8 * asked, (hosts, total, guests, asked)


# --- CPUID, as the corpus's map of it has the bits

Bit = tuple[object, str, int]


@cache
def bits() -> dict[str, list[Bit]]:
    found: dict[str, list[Bit]] = {}
    for feature in ElementTree.parse(CORPUS / "facts/cpu_map/x86_features.xml").getroot().findall("feature"):
        for leaf in feature:
            found.setdefault(feature.get("name") or "", []).extend(_registers(leaf))
    return found


def _registers(leaf: ElementTree.Element) -> Iterator[Bit]:
    place = tuple(int(leaf.get(name) or "0", 0) for name in ("eax_in", "ecx_in", "index"))
    for register in ("eax", "ebx", "ecx", "edx"):
        if value := leaf.get(register):
            yield place, register, int(value, 0)


def cpuid_features(xml: str) -> set[str]:
    data = {
        (place, register): value for leaf in ElementTree.fromstring(xml) for place, register, value in _registers(leaf)
    }
    return {name for name, rows in bits().items()
            if all(data.get((place, register), 0) & value == value for place, register, value in rows)}  # fmt: skip


def test_every_feature_that_users_know_is_known() -> None:
    assert {name for name in bits() if qemu_feature(name) not in KNOWN | HOSTS_ONLY} <= {"avx512-fp16", "fsrc", "fsrs"}


# --- CPUs of a running guest


def test_threads_of_vcpus() -> None:
    """QEMU numbers its CPUs by their place in the machine: so do users, whatever the order that it lists them in."""
    for case in cases("qmp-cpuinfo"):
        cpus = {cpu.cpu_index: cpu for cpu in _returned(case["cpus.json"], list[Cpus])}
        slots = sorted(_returned(case["hotplug.json"], list[Slot]), key=Slot.place)
        expected = re.split(r"\[vcpu libvirt-id='\d+'\]", case["expected.data"])[1:]
        assert len(slots) == len(expected), case["id"]
        for number, (slot, said) in enumerate(zip(slots, expected, strict=True)):
            thread, path = (re.search(rf"{name}='([^']*)'", said) for name in ("thread-id", "qom_path"))
            assert (slot.qom_path or None) == (path and path[1]), (case["id"], number)
            if thread and f"query-cpus-id='{number}'" in said and cpus[number].qom_path == slot.qom_path:
                assert str(cpus[number].thread_id) == thread[1], (case["id"], number)
        assert {str(cpu.thread_id) for cpu in cpus.values()} == set(
            re.findall(r"thread-id='(\d+)'", case["expected.data"])
        )


def _returned(text: str, kind: type[list[T]]) -> list[T]:
    value, _ = json.JSONDecoder().raw_decode(text)
    return msgspec.convert(value["return"], kind)


# --- a guest's status: what libvirt writes of one that runs holds its document


def test_documents_of_running_guests_lose_nothing() -> None:
    lost: dict[str, list[str]] = {}
    for case in cases("status-xml2xml"):
        domain = ElementTree.fromstring(case["input.xml"]).find("domain")
        assert domain is not None
        text = ElementTree.tostring(domain, encoding="unicode")
        again = ElementTree.fromstring(format_guest(parse_guest(text), active=True, secrets=True))
        missing = leaves(domain) - leaves(again)
        if missing:
            lost[case["id"]] = sorted(map(str, missing))
    assert lost == {}


def leaves(node: ElementTree.Element, path: str = "") -> set[tuple[str, str]]:
    here = f"{path}/{node.tag}"
    found = {(f"{here}@{name}", value.lstrip("0x") or "0") for name, value in node.attrib.items()}
    if node.text and node.text.strip():
        found.add((here, node.text.strip()))
    return found.union(*(leaves(child, here) for child in node))
