"""Figures of guests (DSP1053): what each means is a row of METRICS; values come from the engine's statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontinus.api.views import BlockStats, GuestStats, InterfaceStats
from frontinus_cim.host.guest import Guest, Part
from frontinus_cim.host.world import World
from frontinus_cim.instances import devices, services, systems
from frontinus_cim.instances.kinds import FIGURES, Kind, Link, Node
from frontinus_cim.methods.calls import MethodCall, Result, method
from frontinus_cim.wire import values
from frontinus_cim.wire.model import GUEST, Path, Value

DEFINITION, VALUE = "KVM_BaseMetricDefinition", "KVM_BaseMetricValue"
COUNTER, GAUGE = 3, 4
UINT64, SUMMABLE, NON_SUMMABLE, POINT, SINCE_START, ON_REQUEST, ENABLED = 13, 2, 3, 2, 4, 4, 2
Read = Callable[[Guest, str], int | None]
"""Gives a figure of a guest, or of the part of it that is named."""


@dataclass(frozen=True)
class Metric:
    """A row: what the figure is of (a class of elements), its unit, how it goes, and how it is read."""

    name: str
    cls: str
    words: str
    unit: str
    change: int
    read: Read

    @property
    def id(self) -> str:
        return f"Frontinus:{self.name}"


def _figures(guest: Guest) -> GuestStats | None:
    return guest.figures if guest.view.active else None


def _cpu(guest: Guest, part: str) -> int | None:
    found = _figures(guest)
    return found.cpu.time if found and found.cpu else None


def _memory(attribute: str) -> Read:
    def read(guest: Guest, part: str) -> int | None:
        found = _figures(guest)
        return getattr(found.memory, attribute) if found and found.memory else None

    return read


def _vcpu(guest: Guest, part: str) -> int | None:
    found = _figures(guest)
    return next((v.time for v in found.vcpus if str(v.index) == part), None) if found else None


def _block(attribute: str) -> Read:
    def read(guest: Guest, part: str) -> int | None:
        found: Sequence[BlockStats] = figures.blocks if (figures := _figures(guest)) else ()
        return next((getattr(block, attribute) for block in found if block.name == part), None)

    return read


def _port(attribute: str) -> Read:
    def read(guest: Guest, part: str) -> int | None:
        found: Sequence[InterfaceStats] = figures.interfaces if (figures := _figures(guest)) else ()
        return next((getattr(nic, attribute) for nic in found if nic.mac == part), None)

    return read


DISK, PORT, PROCESSOR = "KVM_LogicalDisk", "KVM_NetworkPort", "KVM_Processor"
NS = "second * 10^-9"
METRICS: Sequence[Metric] = (
    Metric("CPUTime", GUEST, "CPU time that the guest used", NS, COUNTER, _cpu),
    Metric("MemoryCurrent", GUEST, "Memory that the guest has now", "byte", GAUGE, _memory("current")),
    Metric(
        "MemoryResident",
        GUEST,
        "The host's memory that the guest's process holds",
        "byte",
        GAUGE,
        _memory("rss"),
    ),
    Metric("MemoryUnused", GUEST, "Memory that the guest's system does not use", "byte", GAUGE, _memory("unused")),
    Metric("ProcessorTime", PROCESSOR, "CPU time that the virtual CPU used", NS, COUNTER, _vcpu),
    Metric("DiskReadBytes", DISK, "Bytes read", "byte", COUNTER, _block("read_bytes")),
    Metric("DiskWriteBytes", DISK, "Bytes written", "byte", COUNTER, _block("write_bytes")),
    Metric("DiskReads", DISK, "Read requests", "count", COUNTER, _block("read_requests")),
    Metric("DiskWrites", DISK, "Write requests", "count", COUNTER, _block("write_requests")),
    Metric("DiskReadTime", DISK, "Time that read requests took", NS, COUNTER, _block("read_time")),
    Metric("DiskWriteTime", DISK, "Time that write requests took", NS, COUNTER, _block("write_time")),
    Metric("PortReceivedBytes", PORT, "Bytes that the guest received", "byte", COUNTER, _port("rx_bytes")),
    Metric("PortSentBytes", PORT, "Bytes that the guest sent", "byte", COUNTER, _port("tx_bytes")),
    Metric("PortReceivedPackets", PORT, "Packets that the guest received", "count", COUNTER, _port("rx_packets")),
    Metric("PortSentPackets", PORT, "Packets that the guest sent", "count", COUNTER, _port("tx_packets")),
    Metric("PortReceiveDrops", PORT, "Packets dropped on the way in", "count", COUNTER, _port("rx_drops")),
    Metric("PortSendDrops", PORT, "Packets dropped on the way out", "count", COUNTER, _port("tx_drops")),
)
BY_NAME = {metric.name: metric for metric in METRICS}
CLASSES = (GUEST, PROCESSOR, DISK, PORT)


@dataclass(frozen=True)
class Measured:
    """A figure: the metric, the guest, and the part that it is of ('' for the guest)."""

    metric: Metric
    guest: Guest
    part: str

    @property
    def id(self) -> str:
        return f"{self.guest.name}/{self.metric.name}/{self.part}".rstrip("/")

    def value(self) -> int | None:
        return self.metric.read(self.guest, self.part)


def _parts(guest: Guest, cls: str) -> Iterable[str]:
    return [""] if cls == GUEST else [part.name for part in devices.DEVICES[cls][0](guest)]


def of_guest(guest: Guest) -> Iterable[Measured]:
    """All figures of a guest that are known."""
    for metric in METRICS:
        for part in _parts(guest, metric.cls):
            found = Measured(metric, guest, part)
            if found.value() is not None:
                yield found


def _every(world: World) -> Iterable[Measured]:
    return (found for guest in world.guests.values() for found in of_guest(guest))


def _find(world: World, path: Path) -> Measured | None:
    name, _, rest = str(path.key("InstanceID")).partition("/")
    metric_name, _, part = rest.partition("/")
    guest, metric = world.named.get(name), BY_NAME.get(metric_name)
    if guest is None or metric is None or part not in _parts(guest, metric.cls):
        return None
    found = Measured(metric, guest, part)
    return found if found.value() is not None else None


DEFINITIONS: Kind[Metric] = Kind(DEFINITION, {
    "Id": lambda m: m.id, "Name": lambda m: m.name, "ElementName": lambda m: m.name, "Caption": lambda m: m.words,
    "Description": lambda m: m.words, "DataType": UINT64, "Units": lambda m: m.unit, "ProgrammaticUnits": lambda m: m.unit,
    "Calculable": lambda m: SUMMABLE if m.change == COUNTER else NON_SUMMABLE, "IsContinuous": True,
    "ChangeType": lambda m: m.change, "TimeScope": lambda m: SINCE_START if m.change == COUNTER else POINT,
    "GatheringType": ON_REQUEST,
}, lambda world: METRICS, lambda world, path: BY_NAME.get(str(path.key("Id")).removeprefix("Frontinus:")))  # fmt: skip


def _taken(found: Measured) -> Value:
    return values.moment(found.guest.figures.taken) if found.guest.figures else None


VALUES: Kind[Measured] = Kind(VALUE, {
    "InstanceID": lambda v: v.id, "ElementName": lambda v: v.id, "MetricDefinitionId": lambda v: v.metric.id,
    "MeasuredElementName": lambda v: f"{v.guest.name}/{v.part}".rstrip("/"), "MetricValue": lambda v: str(v.value()),
    "TimeStamp": _taken, "Volatile": True,
}, _every, _find, needs=FIGURES)  # fmt: skip
KINDS: Sequence[Kind[Any]] = (DEFINITIONS, VALUES)


def _values_of(world: World, node: Node) -> Iterable[Node]:
    subject: Guest | Part = node.subject
    guest, part = (subject, "") if isinstance(subject, Guest) else (subject.guest, subject.name)
    return (Node(VALUES, v) for v in of_guest(guest) if v.metric.cls == node.kind.cls and v.part == part)


def _measured(world: World, node: Node) -> Iterable[Node]:
    found: Measured = node.subject
    if found.metric.cls == GUEST:
        return [Node(systems.GUESTS, found.guest)]
    kind = devices.KINDS[found.metric.cls]
    return (Node(kind, part) for part in devices.DEVICES[found.metric.cls][0](found.guest) if part.name == found.part)


def _definitions_of(world: World, node: Node) -> Iterable[Node]:
    return (Node(DEFINITIONS, metric) for metric in METRICS if metric.cls == node.kind.cls)


def _elements(world: World, node: Node) -> Iterable[Node]:
    cls = node.subject.cls
    kind: Kind[Any] = systems.GUESTS if cls == GUEST else devices.KINDS[cls]
    return (Node(kind, subject) for subject in kind.every(world))


def _enabled(world: World, first: Node, second: Node) -> Mapping[str, Value]:
    return {"MetricCollectionEnabled": ENABLED}


LINKS = (
    Link("KVM_MetricForME", ("Antecedent", CLASSES), ("Dependent", [VALUE]), _values_of, _measured),
    Link("KVM_MetricDefForME", ("Antecedent", CLASSES), ("Dependent", [DEFINITION]), _definitions_of, _elements, _enabled),
    Link("KVM_MetricInstance", ("Antecedent", [DEFINITION]), ("Dependent", [VALUE]),
         lambda world, node: (Node(VALUES, v) for v in _every(world) if v.metric is node.subject),
         lambda world, node: [Node(DEFINITIONS, node.subject.metric)]),
)  # fmt: skip


@method(services.METRICS, "ShowMetrics", reads=True)
async def show_metrics(call: MethodCall) -> Result:
    """Which figures are taken of an element: all that its class has."""
    subject = call.path("Subject")
    if subject is None or call.registry.find(call.world, subject) is None:
        return Result(2)
    found = [metric for metric in METRICS if metric.cls == subject.cls]
    paths = [call.registry.path(Node(DEFINITIONS, metric)) for metric in found]
    return Result(0, {
        "ManagedElements": [subject] * len(found), "DefinitionList": paths, "MetricNames": [metric.name for metric in found],
        "MetricCollectionEnabled": [ENABLED] * len(found),
    })  # fmt: skip


@method(services.METRICS, "ShowMetricsByClass", "ControlMetrics", "GetMetricValues")
async def not_supported(call: MethodCall) -> Result:
    """Figures are always taken, on request: there is nothing to switch."""
    return Result(1)
