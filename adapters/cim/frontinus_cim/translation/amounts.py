"""Memory and processors of a guest, which have no element of their own (DSP1044, DSP1045)."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping

from msgspec import structs

from frontinus.api.engine import Engine
from frontinus.api.tuning import SchedulerParameters
from frontinus.client.details import Details, parse
from frontinus_cim.host.guest import DEFINED, KIB, NOTHING, Guest, Part, where
from frontinus_cim.instances import fields, settings
from frontinus_cim.instances.fields import put
from frontinus_cim.translation import changes
from frontinus_cim.translation.compose import Wanted
from frontinus_cim.wire.errors import CimError, Status

AMOUNTS = ("mem", "proc")
"""Parts that have no element: what they are is in the guest's view."""


@dataclasses.dataclass(frozen=True)
class Amount:
    """A row: the guest's view of how much there is and of the most, in `unit` of what is shown, and what changes it."""

    now: str
    most: str
    unit: int
    change: Callable[[Engine], Callable[..., Awaitable[None]]]
    places: Mapping[str, str]
    """What else can change: where it is among the guest's facts."""


ROWS: Mapping[str, Amount] = {
    "mem": Amount("memory", "max_memory", KIB, lambda engine: engine.set_memory, {"dumpCore": "memory/@dumpCore"}),
    "proc": Amount("vcpus", "max_vcpus", 1, lambda engine: engine.set_vcpus, {"Weight": "cputune/shares"}),
}


STAY = frozenset({"Limit", "dumpCore"})
"""What a running guest keeps."""


def stays(guest: Guest, name: str, what: str) -> CimError:
    """The answer to a change of what a running guest keeps."""
    later = f"{guest.name}{DEFINED}/{name}"
    return CimError(Status.NOT_SUPPORTED, f"{what}: this stays while the guest runs; {later} is its next start's")


async def change(engine: Engine, guest: Guest, name: str, wanted: Wanted) -> None:
    """Change how much there is. Raises CimError for what cannot be, before anything is done."""
    row = ROWS[name]
    after = _after(guest, row, wanted)
    changes.check(settings.RESOURCES[name], Part(after, name, name, NOTHING), wanted)
    if guest.view.active and (later := sorted(wanted.values.keys() & STAY)):
        raise stays(guest, name, ", ".join(later))
    for prop in wanted.values.keys() & row.places.keys():
        await OTHERS[prop](engine, guest, wanted.get(prop))
    await _resize(engine, guest, row, getattr(after.view, row.now), getattr(after.view, row.most))


def _after(guest: Guest, row: Amount, wanted: Wanted) -> Guest:
    """The guest as it would be."""
    now, most = (wanted.get(name) for name in ("VirtualQuantity", "Limit"))
    sizes = {field: value * row.unit for field, value in ((row.now, now), (row.most, most)) if isinstance(value, int)}
    if most is None and not guest.view.active:
        sizes[row.most] = max(getattr(guest.view, row.most), sizes.get(row.now, 0))
    texts = {row.places[name]: _text(value) for name, value in wanted.values.items()
             if name in row.places and value is not None}  # fmt: skip
    details = Details({**guest.details.facts, **texts}, guest.details.devices)
    return dataclasses.replace(guest, view=structs.replace(guest.view, **sizes), details=details, _parts=None, cache={})


def _text(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


async def _resize(engine: Engine, guest: Guest, row: Amount, now: int, most: int) -> None:
    """The most comes first where it grows, for the present amount must fit in."""
    old_now, old_most = getattr(guest.view, row.now), getattr(guest.view, row.most)
    resize, uuid = row.change(engine), guest.view.uuid
    steps = [(most, True)] * (most != old_most) + [(now, False)] * (now != old_now)
    for size, maximum in reversed(steps) if most < old_now else steps:
        if maximum:
            await resize(uuid, size, maximum=True, config=True)
        else:
            await resize(uuid, size, **where(guest))


async def _weigh(engine: Engine, guest: Guest, value: object) -> None:
    shares = value if isinstance(value, int) else 0
    await engine.set_scheduler_parameters(guest.view.uuid, SchedulerParameters(shares=shares), **where(guest))


async def _dump(engine: Engine, guest: Guest, value: object) -> None:
    root = parse(await engine.guest_xml(guest.view.uuid, ["inactive", "secure"]))
    put(root, ROWS["mem"].places["dumpCore"], _text(value))
    await engine.define(fields.text(root))


OTHERS: Mapping[str, Callable[[Engine, Guest, object], Awaitable[None]]] = {"Weight": _weigh, "dumpCore": _dump}
"""What is changed by other means than the amount."""
