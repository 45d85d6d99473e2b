"""A guest, a host and their networks with a figure in every field, and the exporter's text taken apart again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from prometheus_client.parser import text_string_to_metric_families as parse_text

from frontinus.api import views
from frontinus.api.agent import GuestFilesystem, GuestOs
from frontinus.api.figures import EngineFigures, HostFigures, MonitorFigures, NodeMemory, Pressure
from frontinus.api.networks import NetworkView
from frontinus.api.storage import PoolView
from frontinus.api.views import (
    AgentStats,
    BlockStats,
    CpuStats,
    DirtyRate,
    GroupStats,
    GuestStats,
    GuestView,
    InterfaceStats,
    IothreadStats,
    JobView,
    LatencyHistogram,
    MemoryStats,
    Snapshot,
    VcpuStats,
)
from frontinus_prometheus.metric import Profile
from frontinus_prometheus.model import Model, facts
from frontinus_prometheus.native import NATIVE
from frontinus_prometheus.render import Renderer

UUID = "7d5d4a1e-1f0a-4f0b-9c1e-000000000001"


VERSION = views.VersionView(frontinus="1.2", api=1, hypervisor="QEMU", hypervisor_version=(7, 2, 0))


HOST = views.HostView(hostname="h", uuid="u", arch="x86_64", cpu_model="m", cpus=4, sockets=1, cores=4, threads=1, numa_nodes=1,
                      memory=1024, memory_free=512)  # fmt: skip


KEPT = LatencyHistogram(bounds=(1_000_000, 500_000_000), counts=(3, 2, 1))


HOST_FIGURES = HostFigures(memory=1024, memory_free=512, memory_available=700, nodes=(NodeMemory(node=0, total=9, free=4),),
                           pressure={"io": Pressure(some=5_000_000_000, full=2_000_000_000)})  # fmt: skip


ENGINE_FIGURES = EngineFigures(started=5.0, cpu=10**9, rss=4096, generation=3, guests=1, restarts={"snmp": 2},
                               monitor=MonitorFigures(commands=8, latency=KEPT))  # fmt: skip


NETWORK = NetworkView(uuid="n-1", name="default", active=True, bridge="virbr0", forward="nat", ports=2, leases=1)


POOL = PoolView(uuid="p-1", name="images", kind="dir", state="running", active=True, path="/images", capacity=100, allocation=40,
                available=60, volumes=3)  # fmt: skip


Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def view(name: str = "web", uuid: str = UUID, **changes: object) -> GuestView:
    given: dict[str, object] = {"state": "running", "reason": "booted", "id": 3, "active": True, "memory": 2**29,
                                "max_memory": 2**30, "since": 1000.5}  # fmt: skip
    return GuestView(uuid=uuid, name=name, **{**given, **changes})  # type: ignore[arg-type]


def full(kind: type, **given: object) -> object:
    """A view with another number in every field that was not given, so that a mix-up shows."""
    numbers = {name: 1000 + n for n, name in enumerate(kind.__struct_fields__) if name not in given}  # type: ignore[attr-defined]
    return kind(**{**numbers, **given})


def stats(uuid: str = UUID, **changes: object) -> GuestStats:
    given: dict[str, object] = {
        "taken": time.time(), "started": 900.25, "id": 3, "state": "running", "cpu": full(CpuStats), "memory": full(MemoryStats),
        "vcpus": (full(VcpuStats, index=0, state="running", halted=True),),
        "blocks": (full(BlockStats, name="vda", alias="virtio-disk0", path="/a b", read_latency=KEPT, write_latency=KEPT,
                        flush_latency=KEPT),),
        "interfaces": (full(InterfaceStats, name="vnet0", alias="net0", mac="52:54:00:00:00:01"),),
        "iothreads": (full(IothreadStats, id=1),),
        "jobs": (JobView(id="4", kind="save", state="running", started=9.5, progress=0.25, processed=10, total=40),),
        "group": full(GroupStats, waited={"io": (2_000_000_000, 500_000_000)}),
        "agent": AgentStats(taken=3.0, hostname="shop", os=GuestOs(pretty_name="Debian 12", id="debian"), users=2,
                            filesystems=(GuestFilesystem(mountpoint="/", name="vda1", type="ext4", disks=("vda",), total=90,
                                                         used=30),)),
        "dirty_rate": DirtyRate(began=12.5, seconds=1.0, rate=7340032),
    }  # fmt: skip
    return GuestStats(uuid=uuid, name="web", **{**given, **changes})  # type: ignore[arg-type]


def model(*guests: GuestView) -> Model:
    made = Model()
    made.take(Snapshot(generation=7, guests=guests, networks=(NETWORK,), pools=(POOL,)))
    return made


def render(model: Model, figures: Iterable[GuestStats], *, openmetrics: bool = False, profile: Profile = NATIVE) -> str:
    found = facts(model, list(figures), fresh=True, version=VERSION, host=HOST, host_figures=HOST_FIGURES,
                  engine_figures=ENGINE_FIGURES)  # fmt: skip
    return text(Renderer(profile, openmetrics=openmetrics).render(found, model.guests))


def text(families: Sequence[bytes]) -> str:
    return b"".join(families).decode()


def samples(text: str) -> Samples:
    found = {}
    for family in parse_text(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    base = {"name": "web", "uuid": UUID} if name.startswith("frontinus_guest_") else {}
    return found.get((name, frozenset({**base, **labels}.items())))
