"""What the tables of other exporters are made of: their items, and what they call states and devices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from frontinus.api.storage import PoolView
from frontinus.api.views import STATES, JobView, MemoryStats
from frontinus.client.details import Device
from frontinus_prometheus.details import EMPTY, Details
from frontinus_prometheus.metric import Sample
from frontinus_prometheus.model import Entry, Facts

NOTHING = Device("disk", {})
"""A disk that no definition tells of, yet or any more."""

STATE_WORDS = ("no state", "the domain is running", "the domain is blocked on resource", "the domain is paused by user",
               "the domain is being shut down", "the domain is shut off", "the domain is crashed",
               "the domain is suspended by guest power management")  # fmt: skip
"""Values of the label that tells the state, which rules compare with; by the state's number."""


class Part(NamedTuple):
    """A disk's or an interface's figures, and what the definition says of it."""

    stats: Any
    device: Device


def said(path: str) -> Callable[[Part], str]:
    """A fact of the definition."""
    return lambda part: part.device[path]


def known(entry: Entry) -> Details:
    return entry.details or EMPTY


def state_code(entry: Entry) -> int:
    return STATES.index(entry.view.state)


def state_words(entry: Entry) -> str:
    return STATE_WORDS[state_code(entry)]


def nova(name: str) -> Callable[[Entry], str]:
    return lambda entry: known(entry).nova.get(name, "")


def blocks(skipped: Callable[[Part], bool]) -> Callable[[Sample], Iterable[Part]]:
    def items(sample: Sample) -> Iterable[Part]:
        disks = known(sample.entry).disks
        found = [Part(stats, disks.get(stats.name, NOTHING)) for stats in sample.stats.blocks]
        return [part for part in found if not skipped(part)]

    return items


def removable(part: Part) -> bool:
    return part.device["@device"] in ("cdrom", "floppy")


def old_cdrom(part: Part) -> bool:
    return part.stats.name in ("hda", "hdc")


def source(part: Part) -> str:
    """The file, the block device, or the name of a network source."""
    return part.device["source/@file"] or part.device["source/@dev"] or part.device["source/@name"]


def cards(sample: Sample) -> Iterable[Part]:
    """Interfaces that have a device on the host."""
    nics = known(sample.entry).nics
    return [Part(stats, nics[stats.name]) for stats in sample.stats.interfaces if stats.name in nics]


def jobs(sample: Sample) -> Iterable[JobView]:
    """What is under way; the exporters know of one job a guest."""
    return sample.stats.jobs[:1]


def active_pools(facts: Facts) -> Iterable[PoolView]:
    return [pool for pool in facts.pools if pool.active]


def memory(sample: Sample) -> Iterable[MemoryStats]:
    return () if sample.stats.memory is None else (sample.stats.memory,)


def each(entry: Entry) -> Iterable[Entry]:
    return (entry,)
