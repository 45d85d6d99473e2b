"""What named CPU models are made of, and which of them is nearest to a given processor.

The table is what QEMU itself answers (query-cpu-model-expansion), recorded by tests/support/cpu_models.py: an
unversioned model means the same in every release. Features have QEMU's names.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from frontinus.domain.cpu.generations import generation

FOREIGN = ("kvm", "vmx-", "hv-")
"""Beginnings of properties that belong to the hypervisor, or follow from another feature."""
NOT_FEATURES = frozenset({"lmce"})
UNSURE = frozenset({"monitor", "topoext"})
"""Features that QEMU gives or takes by itself (by accelerator, by topology): a host that does not show one may have it."""
SAID_ALOUD = frozenset({"monitor", "xsaves"})
"""Features whose place in models differs by version or accelerator: said even where the model has them."""
OF_GUESTS = frozenset({"hypervisor"})
"""What QEMU adds to every model: no processor has it, every guest does."""


@dataclass(frozen=True)
class NamedModel:
    """One model."""

    name: str
    vendor: str
    family: int
    model: int
    features: frozenset[str]

    def is_of(self, wanted: Processor) -> bool:
        """Whether a processor is of this model's generation."""
        row = generation(self.name)
        if row is None:
            return (wanted.family, wanted.model) == (self.family, self.model)
        family, models, steppings = row
        return wanted.family == family and wanted.model in models and (wanted.stepping or steppings[0]) in steppings


@dataclass(frozen=True)
class Processor:
    """A processor, real or wanted, by what it can do."""

    features: frozenset[str]
    vendor: str | None = None
    family: int | None = None
    model: int | None = None
    sure: bool = False
    """Whether a feature that is not listed is surely not there."""
    stepping: int | None = None


@dataclass(frozen=True)
class Match:
    """A model and what must be said beside it."""

    model: NamedModel
    on: frozenset[str] = field(default_factory=frozenset)
    off: frozenset[str] = field(default_factory=frozenset)


@cache
def named_models() -> Mapping[str, NamedModel]:
    """The table by name."""
    text = files("frontinus.domain.cpu").joinpath("named.json").read_text()
    return {name: NamedModel(name, row["vendor"], row["family"], row["model"], frozenset(row["features"].split()) - OF_GUESTS)
            for name, row in json.loads(text).items()}  # fmt: skip


def processor(props: Mapping[str, object], *, sure: bool = False) -> Processor:
    """A processor from the properties that QEMU tells of its best model.

    One that is emulated (`sure`) has no generation: what it says of itself is QEMU's oldest model, whatever it can do.
    """
    features = frozenset(name for name, value in props.items()
                         if value is True and not name.startswith(FOREIGN) and name not in NOT_FEATURES)  # fmt: skip
    vendor, *numbers = (props.get(name) for name in ("vendor", "family", "model", "stepping"))
    family, model, stepping = (n if isinstance(n, int) and not sure else None for n in numbers)
    return Processor(features, vendor if isinstance(vendor, str) else None, family, model, sure, stepping)


def nearest(wanted: Processor, known: Collection[str], preferred: str | None = None) -> Match | None:
    """The model among `known` that needs the least beside it; `preferred` wins if it is there. None: no such vendor's.

    A model of the same generation comes first; then taking a feature away weighs twice as much as adding one, since
    a guest may find the model's name to promise it.
    """
    models = [named_models()[name] for name in known if name in named_models()]
    fits = [model for model in models if wanted.vendor in (None, model.vendor)]
    best = min(fits, key=lambda model: (model.name != preferred, *_effort(wanted, model)), default=None)
    if best is None:
        return None
    on = wanted.features - (best.features - SAID_ALOUD)
    return Match(best, on, _missing(wanted, best))


def contained(wanted: Processor) -> Match | None:
    """The model that describes a host: one of which it has everything, so that features are only added."""
    fits = [name for name, model in named_models().items() if not _missing(wanted, model)]
    return nearest(wanted, fits) or nearest(wanted, named_models())


def _missing(wanted: Processor, model: NamedModel) -> frozenset[str]:
    return model.features - wanted.features - (frozenset() if wanted.sure else UNSURE)


def _effort(wanted: Processor, model: NamedModel) -> tuple[bool, int, str]:
    off, on = _missing(wanted, model), wanted.features - model.features
    return not model.is_of(wanted), 2 * len(off) + len(on), model.name
