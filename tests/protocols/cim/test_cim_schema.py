"""Our schema beside DMTF's: taken from pywbem's source distribution, by its hash; nothing misspelt, mistyped or without its key."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

import bootstrap
from frontinus_cim.schema.classes import Class, Method, Property, Qualifier, Schema
from frontinus_cim.schema.compile import compile_mof, sources

DISTRIBUTION, DIGEST = "pywbem==1.9.1", "b537ebe837c4fd6f227c75dd196175e105b95fae9adcf19f790457ba35753343"
ARCHIVE, INSIDE = "pywbem-1.9.1.tar.gz", "pywbem-1.9.1/tests/schema/cim_schema_2.49.0Final-MOFs.zip"
CACHE = bootstrap.ROOT / ".cache/dmtf"
OUR_OWN = {"CIM_VirtualSystemMigrationService", "CIM_VirtualSystemMigrationCapabilities"}
"""Classes of an experimental schema that the final one does not have."""
SAME = (
    "Key", "ValueMap", "Values", "Units", "PUnit", "MaxLen", "EmbeddedInstance", "EmbeddedObject", "Write", "Required", "ArrayType",
    "Aggregate", "Min", "Max", "In", "Out", "Association", "Indication", "Abstract", "Octetstring", "Counter", "Gauge",
)  # fmt: skip
"""Qualifiers that are facts."""
LOWER = {name.lower() for name in SAME}


def archive() -> Path:
    """The source distribution, fetched once."""
    path = CACHE / ARCHIVE
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        wanted = CACHE / "wanted.txt"
        wanted.write_text(f"{DISTRIBUTION} --hash=sha256:{DIGEST}\n")
        words = [
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            "pywbem",
            "--require-hashes",
            "-d",
            str(CACHE),
            "-r",
            str(wanted),
        ]
        done = subprocess.run([*bootstrap._pip(), *words], capture_output=True, text=True, check=False, timeout=200)
        if done.returncode or not path.exists():
            pytest.skip(f"pywbem's source distribution cannot be had: {done.stderr[-300:].strip()}")
    return path


@cache
def dmtf() -> Schema:
    """Those of DMTF's classes that we have, compiled by the same compiler."""
    with tarfile.open(archive()) as outer:
        inner = outer.extractfile(INSIDE)
        assert inner is not None
        with zipfile.ZipFile(io.BytesIO(inner.read())) as files:
            texts = {Path(name).stem: files.read(name).decode() for name in files.namelist() if name.endswith(".mof")}
    ordered = {name: texts[name] for name in ("qualifiers", "qualifiers_optional")}
    for name in ours().classes:
        if name.startswith("CIM_") and name not in OUR_OWN:
            _with_superclasses(texts, name, ordered)
    made = compile_mof(ordered)
    return Schema(made.classes, made.qualifiers)


def _with_superclasses(texts: Mapping[str, str], name: str, ordered: dict[str, str]) -> None:
    if name in ordered:
        return
    above = re.search(rf"^\s*class\s+{name}\s*:\s*(\w+)", texts[name], re.MULTILINE)
    if above:
        _with_superclasses(texts, above[1], ordered)
    ordered[name] = texts[name]


@cache
def ours() -> Schema:
    made = compile_mof(sources())
    return Schema(made.classes, made.qualifiers)


pytestmark = pytest.mark.may_skip("needs a package index")


def facts(qualifiers: tuple[Qualifier, ...]) -> dict[str, object]:
    return {
        q.name.lower(): q.value
        for q in qualifiers
        if q.name.lower() in LOWER and q.value not in (None, False) or q.name.lower() == "in"
    }


def compared() -> list[tuple[Class, Class]]:
    there = dmtf()
    return [
        (cls, there[name]) for name, cls in ours().classes.items() if name.startswith("CIM_") and name not in OUR_OWN
    ]


def test_every_class_is_theirs_and_below_the_same_class() -> None:
    pairs = compared()
    assert len(pairs) > 110
    for mine, theirs in pairs:
        assert mine.superclass == theirs.superclass, mine.name
        assert mine.association == theirs.association and mine.has("Indication") == theirs.has("Indication"), mine.name
        assert {key.name for key in mine.keys} == {key.name for key in theirs.keys}, mine.name


def test_every_property_is_as_theirs() -> None:
    for mine, theirs in compared():
        for prop in mine.properties:
            other = theirs.by_name.get(prop.name.lower())
            assert other is not None and other.name == prop.name, f"{mine.name}.{prop.name}"
            assert described(prop) == described(other), f"{mine.name}.{prop.name}"


def described(prop: Property) -> tuple[object, ...]:
    return prop.type, prop.array, prop.reference, prop.default, prop.origin, facts(prop.qualifiers)


def test_every_method_is_as_theirs() -> None:
    for mine, theirs in compared():
        for method in mine.methods:
            other = theirs.methods_by_name.get(method.name.lower())
            assert other is not None and other.name == method.name, f"{mine.name}.{method.name}"
            assert signature(method) == signature(other), f"{mine.name}.{method.name}"


def signature(method: Method) -> tuple[object, ...]:
    return method.type, [
        (p.name, p.type, p.array, p.reference, p.taken, p.given, p.qualifier("EmbeddedInstance"))
        for p in method.parameters
    ]


def test_no_description_is_theirs() -> None:
    """Every description is in our words."""
    for mine, theirs in compared():
        for own, other in [(mine, theirs), *[(p, theirs.by_name[p.name.lower()]) for p in mine.properties]]:
            words = {q.name: q.value for q in own.qualifiers}.get("Description")
            assert words and words != {q.name: q.value for q in other.qualifiers}.get("Description"), mine.name
