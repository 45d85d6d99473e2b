"""CPU models by name: which of them comes nearest to a set of features. The table was asked of QEMU (tools/cpu_models.py)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

NO_FEATURES = re.compile(r"hv-|x-|vmx-|kvm|migratable$|l3-cache$|legacy-cache$|host-|tcg-|full-|fill-|vmware-|xen-")
"""Switches of a CPU that are no features to choose it by. Those of nested virtualization come with the model."""
USERS_NAMES = {
    "cmp-legacy": "cmp_legacy", "ds-cpl": "ds_cpl", "fxsr-opt": "fxsr_opt", "lahf-lm": "lahf_lm",
    "nodeid-msr": "nodeid_msr", "pclmulqdq": "pclmuldq", "perfctr-core": "perfctr_core", "perfctr-nb": "perfctr_nb",
    "tsc-adjust": "tsc_adjust",
}  # fmt: skip
"""Features that users spell otherwise than QEMU."""

VENDOR_NAMES = {"AuthenticAMD": "AMD", "GenuineIntel": "Intel", "HygonGenuine": "Hygon", "CentaurHauls": "Zhaoxin"}
"""Vendors as users call them, by their CPUID string."""


class Model(msgspec.Struct, frozen=True):
    """A named model: the vendor's CPUID string, and its features in QEMU's spelling."""

    vendor: str
    features: frozenset[str]


@dataclass(frozen=True)
class Nearest:
    """A model, and what sets the wanted CPU apart from it, in users' spelling."""

    name: str
    require: tuple[str, ...]
    disable: tuple[str, ...]


@functools.cache
def table() -> Mapping[str, Model]:
    """All models that we know the features of."""
    return msgspec.json.decode(Path(__file__).with_name("cpu_models.json").read_bytes(), type=dict[str, Model])


def features_of(properties: Mapping[str, object]) -> frozenset[str]:
    """The features that are on among a CPU's properties; of two spellings QEMU's own."""
    return frozenset(n for n, v in properties.items() if v is True and "_" not in n and not NO_FEATURES.match(n))


def nearest(properties: Mapping[str, object], candidates: Iterable[str]) -> Nearest | None:
    """The candidate of the same vendor that differs least; a feature to be taken away weighs more than one to add."""
    wanted = features_of(properties)
    vendor = properties.get("vendor")
    known = [(name, table()[name]) for name in candidates if name in table() and table()[name].vendor == vendor]
    if not known:
        return None
    name, model = min(known, key=lambda pair: _distance(pair[1], wanted))
    had = frozenset(f for f in model.features if not NO_FEATURES.match(f))
    return Nearest(name, _spelled(wanted - had), _spelled(had - wanted))


def _distance(model: Model, wanted: frozenset[str]) -> tuple[int, int]:
    return 2 * len(model.features - wanted) + len(wanted - model.features), -len(model.features)


def _spelled(features: Iterable[str]) -> tuple[str, ...]:
    return tuple(USERS_NAMES.get(f, f) for f in sorted(features))
