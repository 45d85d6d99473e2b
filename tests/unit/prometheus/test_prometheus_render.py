"""What the exporter writes, judged by prometheus_client's parsers."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from frontinus.api import views
from frontinus.api.errors import InvalidValue, InvalidXML
from frontinus.api.events import ChangedEvent, LifecycleEvent, NetworkEvent, PoolEvent, WatchdogEvent
from frontinus.api.views import (
    BlockStats,
    CpuStats,
    GroupStats,
    InterfaceStats,
    IothreadStats,
    LatencyHistogram,
    MemoryStats,
    Snapshot,
    VcpuStats,
)
from frontinus_prometheus.compat import COMPAT, PORT
from frontinus_prometheus.compat_items import Part, removable, said, source
from frontinus_prometheus.details import details
from frontinus_prometheus.labels import places
from frontinus_prometheus.metric import Metric
from frontinus_prometheus.model import Entry, Model, facts
from frontinus_prometheus.native import NATIVE, with_labels
from frontinus_prometheus.reference import IDENTITY, markdown
from frontinus_prometheus.render import Renderer
from support.metrics import (
    HOST,
    NETWORK,
    POOL,
    UUID,
    VERSION,
    Samples,
    model,
    render,
    samples,
    stats,
    text,
    value,
    view,
)

FIGURES: list[tuple[str, Mapping[str, str], type, str, float]] = [
    ("cpu_seconds_total", {}, CpuStats, "time", 1e9),
    ("cpu_user_seconds_total", {}, CpuStats, "user", 1e9),
    ("cpu_system_seconds_total", {}, CpuStats, "system", 1e9),
    ("vcpu_seconds_total", {"vcpu": "0"}, VcpuStats, "time", 1e9),
    ("vcpu_wait_seconds_total", {"vcpu": "0"}, VcpuStats, "wait", 1e9),
    ("vcpu_delay_seconds_total", {"vcpu": "0"}, VcpuStats, "delay", 1e9),
    ("memory_balloon_bytes", {}, MemoryStats, "current", 1),
    ("memory_rss_bytes", {}, MemoryStats, "rss", 1),
    ("memory_swap_out_bytes_total", {}, MemoryStats, "swap_out", 1),
    ("memory_major_faults_total", {}, MemoryStats, "major_faults", 1),
    ("block_read_bytes_total", {"device": "vda"}, BlockStats, "read_bytes", 1),
    ("block_written_bytes_total", {"device": "vda"}, BlockStats, "write_bytes", 1),
    ("block_write_seconds_total", {"device": "vda"}, BlockStats, "write_time", 1e9),
    ("block_flush_seconds_total", {"device": "vda"}, BlockStats, "flush_time", 1e9),
    ("block_capacity_bytes", {"device": "vda"}, BlockStats, "capacity", 1),
    ("network_receive_bytes_total", {"device": "vnet0"}, InterfaceStats, "rx_bytes", 1),
    ("network_transmit_drops_total", {"device": "vnet0"}, InterfaceStats, "tx_drops", 1),
    ("iothread_poll_maximum_seconds", {"iothread": "1"}, IothreadStats, "poll_max", 1e9),
]


@pytest.mark.parametrize(("name", "labels", "kind", "field", "per"), FIGURES, ids=[row[0] for row in FIGURES])
def test_a_figure_keeps_its_value(name: str, labels: Mapping[str, str], kind: type, field: str, per: float) -> None:
    given = stats()
    places = (given.cpu, given.memory, *given.vcpus, *given.blocks, *given.interfaces, *given.iothreads)
    source = next(item for item in places if isinstance(item, kind))
    found = value(samples(render(model(view()), [given])), f"frontinus_guest_{name}", **labels)
    assert found is not None and math.isclose(found, getattr(source, field) / per)


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_family_of_the_table_parses_as_its_kind(openmetrics: bool) -> None:
    known = model(view(job="backup"))
    known.take(WatchdogEvent(uuid=UUID, name="web", action="reset"))
    text = render(known, [stats()], openmetrics=openmetrics)
    families = list(parse_openmetrics(text + "# EOF\n") if openmetrics else parse_text(text))
    kinds = {family.name: family.type for family in families}
    for metric in NATIVE.metrics():
        if openmetrics:
            assert kinds[metric.family] == metric.kind
        else:
            name = metric.family if metric.kind == "counter" else metric.name
            assert kinds[name] == ("gauge" if metric.kind == "info" else metric.kind)
    assert len(kinds) == len(list(NATIVE.metrics()))
    if openmetrics:
        assert all(family.name.endswith(family.unit) for family in families)
        assert next(f for f in families if f.name == "frontinus_guest_cpu_seconds").unit == "seconds"


def test_names_follow_the_rules() -> None:
    for metric in NATIVE.metrics():
        assert metric.name.startswith("frontinus_") and metric.help.endswith(".")
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_info") == (metric.kind == "info")
        assert not metric.name.endswith(("_ms", "_ns", "_kib", "_percent"))
        assert metric.per == 1 or metric.unit == "seconds"


def test_every_field_of_the_facades_figures_is_shown() -> None:
    """A field that is added to the facade needs a metric, or a row here that says why not."""
    without = {"state": "always running", "index": "label", "name": "label", "alias": "label", "mac": "label", "path": "label",
               "id": "label", "maximum": "frontinus_guest_memory_maximum_bytes"}  # fmt: skip
    shown = {m.value for scope in NATIVE.figures for m in scope.metrics if isinstance(m.value, str)}
    shown |= {"read_latency", "write_latency", "flush_latency", "waited"}  # tested below
    for kind in (CpuStats, VcpuStats, MemoryStats, BlockStats, InterfaceStats, IothreadStats, GroupStats):
        assert set(kind.__struct_fields__) <= shown | set(without), kind


def test_a_histogram_counts_up() -> None:
    found = samples(render(model(view()), [stats()]))
    given = {le: value(found, "frontinus_guest_block_write_latency_seconds_bucket", device="vda", le=le)
             for le in ("0.001", "0.5", "+Inf")}  # fmt: skip
    assert given == {"0.001": 3, "0.5": 5, "+Inf": 6}
    assert value(found, "frontinus_engine_monitor_seconds_bucket", le="+Inf") == 6


def of(found: Samples, name: str, **labels: str) -> float | None:
    """The sample of a name that has these labels, whatever else it has."""
    return next((v for (known, having), v in found.items() if known == name and set(labels.items()) <= having), None)


def test_networks_and_pools_follow_the_stream() -> None:
    known = model(view())
    found = samples(render(known, []))
    assert of(found, "frontinus_network_leases", uuid="n-1") == 1
    assert of(found, "frontinus_pool_available_bytes", uuid="p-1") == 60
    assert of(found, "frontinus_pool_state", uuid="p-1", state="running") == 1
    assert of(found, "frontinus_pool_state", uuid="p-1", state="degraded") == 0
    known.take(
        PoolEvent(uuid=POOL.uuid, name="images", kind="stopped", pool=replace(POOL, active=False, state="inactive"))
    )
    known.take(NetworkEvent(uuid=NETWORK.uuid, name="default", kind="undefined", network=None))
    found = samples(render(known, []))
    assert of(found, "frontinus_pool_available_bytes", uuid="p-1") is None
    assert of(found, "frontinus_pool_active", uuid="p-1") == 0
    assert not [name for name, _ in found if name.startswith("frontinus_network_")]


def test_what_agents_and_control_groups_tell() -> None:
    found = samples(render(model(view()), [stats()]))
    assert of(found, "frontinus_guest_agent_info", hostname="shop", os="Debian 12") == 1
    assert of(found, "frontinus_guest_filesystem_used_bytes", mountpoint="/", disks="vda") == 30
    assert of(found, "frontinus_guest_pressure_waiting_seconds_total", resource="io") == 2
    assert of(found, "frontinus_guest_pressure_stalled_seconds_total", resource="io") == 0.5


METADATA = """<domain><metadata>
  <a:app xmlns:a="urn:shop"><a:owner team=" net ">ann</a:owner></a:app><b:app xmlns:b="urn:other"><b:owner>bob</b:owner></b:app>
</metadata></domain>"""


def test_an_operator_chooses_labels_from_the_metadata() -> None:
    chosen = places(
        {"owner": "urn:shop /app/owner/text()", "team": "urn:shop /app/owner/@team", "none": "urn:x /a/text()"}
    )
    assert details(METADATA, chosen).labels == {"owner": "ann", "team": "net"}
    known = model(view())
    known.guests[UUID].details = details(METADATA, chosen)
    found = samples(render(known, [], profile=with_labels(chosen)))
    assert of(found, "frontinus_guest_labels_info", owner="ann", team="net", uuid=UUID) == 1
    assert with_labels({}) is NATIVE


@pytest.mark.parametrize("given", [{"uuid": "a /b/text()"}, {"__x": "a /b/text()"}, {"x-y": "a /b/text()"}, {"x": "/b/text()"},
                                   {"x": "a b/text()"}, {"x": "a /b"}, {"x": "a /b[1]/text()"}, {"x": 3}])  # fmt: skip
def test_labels_that_cannot_be_are_refused_by_name(given: dict[str, object]) -> None:
    with pytest.raises(InvalidValue) as caught:
        places(given)
    assert caught.value.details["field"] == f"labels.{next(iter(given))}"


def test_jobs_and_the_dirty_rate() -> None:
    found = samples(render(model(view()), [stats()]))
    assert value(found, "frontinus_guest_job_progress_ratio", job="4", kind="save") == 0.25
    assert value(found, "frontinus_guest_job_remaining_bytes", job="4", kind="save") == 30
    assert value(found, "frontinus_guest_dirty_rate_bytes_per_second") == 7340032


def test_what_is_not_known_is_left_out() -> None:
    bare = stats(cpu=CpuStats(time=5), memory=MemoryStats(current=9), vcpus=(), iothreads=(),
                 blocks=(BlockStats(index=0, name="vda", read_bytes=4), BlockStats(index=1, name="sda")))  # fmt: skip
    found = samples(render(model(view()), [bare]))
    assert value(found, "frontinus_guest_cpu_user_seconds_total") is None
    assert value(found, "frontinus_guest_memory_rss_bytes") is None
    assert value(found, "frontinus_guest_block_read_bytes_total", device="vda") == 4
    assert value(found, "frontinus_guest_block_read_bytes_total", device="sda") is None
    assert "frontinus_guest_vcpu" not in {name for name, _ in found}


def test_labels_are_escaped() -> None:
    title = 'a "quoted" \\ line\nand 100% more {x="y"}'
    path = "/100%s/%d"
    figures = stats(blocks=(BlockStats(index=0, name="vda", path=path, read_bytes=1),))
    for openmetrics in (False, True):
        text = render(model(view(name="50%d", title=title)), [figures], openmetrics=openmetrics)
        families = parse_openmetrics(text + "# EOF\n") if openmetrics else parse_text(text)
        every = {s.name: s for f in families for s in f.samples if s.labels.get("name") == "50%d"}
        assert every["frontinus_guest_info"].labels["title"] == title
        assert every["frontinus_guest_block_info"].labels["path"] == path


def test_the_state_is_one_of_all_and_has_its_reason() -> None:
    found = samples(render(model(view(state="paused", reason="I/O error")), []))
    states = {dict(labels)["state"]: v for (name, labels), v in found.items() if name == "frontinus_guest_state"}
    assert set(states) == set(views.STATES)
    assert [state for state, on in states.items() if on] == ["paused"]
    assert value(found, "frontinus_guest_status_info", state="paused", reason="I/O error") == 1
    assert value(found, "frontinus_guests", state="paused") == 1


def test_an_inactive_guest_has_no_figures() -> None:
    idle = stats(id=None, cpu=None)
    for shown, figures in ((view(active=False, id=None, state="shutoff"), stats()), (view(), idle)):
        found = samples(render(model(shown), [figures]))
        assert value(found, "frontinus_guest_memory_maximum_bytes") == 2**30
        assert value(found, "frontinus_guest_memory_balloon_bytes") is None


def test_a_guest_that_is_gone_leaves_nothing() -> None:
    known = model(view(), view("db", "other"))
    known.take(LifecycleEvent(uuid=UUID, name="web", kind="undefined", detail="removed", generation=8))
    text = render(known, [stats(), stats("other")])
    assert UUID not in text and "other" in text


def test_a_new_name_renames_every_series() -> None:
    known = model(view())
    renderer = Renderer(NATIVE)

    def show() -> str:
        found = facts(known, [stats()], fresh=True, version=None, host=None)
        return text(renderer.render(found, known.guests))

    before = show()
    known.take(ChangedEvent(uuid=UUID, name="mail", guest=view("mail")))
    after = show()
    assert 'name="web"' not in after
    assert after.count('name="mail"') == before.count('name="web"') > 10


def test_kept_layouts_follow_devices_that_come_and_go() -> None:
    known = model(view())
    renderer = Renderer(NATIVE)
    for names in (["vda"], ["vda", "vdb"], ["vdb"], ["vdc", "vdb"], ["vda"]):
        blocks = tuple(BlockStats(index=n, name=name, read_bytes=n) for n, name in enumerate(names))
        figures = facts(known, [stats(blocks=blocks)], fresh=True, version=None, host=None)
        found = samples(text(renderer.render(figures, known.guests)))
        shown = {dict(labels)["device"]: v for (name, labels), v in found.items()
                 if name == "frontinus_guest_block_read_bytes_total"}  # fmt: skip
        assert shown == {name: n for n, name in enumerate(names)}


def test_kept_layouts_follow_the_bounds_of_histograms() -> None:
    known, renderer = model(view()), Renderer(NATIVE)
    for bounds in ((1_000_000, 500_000_000), (2_000_000,), ()):
        kept = LatencyHistogram(bounds=bounds, counts=tuple(range(len(bounds) + 1)))
        blocks = (BlockStats(index=0, name="vda", read_latency=kept), BlockStats(index=1, name="vdb"))
        figures = facts(known, [stats(blocks=blocks)], fresh=True, version=None, host=None)
        found = samples(text(renderer.render(figures, known.guests)))
        shown = {dict(labels)["le"]: v for (name, labels), v in found.items()
                 if name == "frontinus_guest_block_read_latency_seconds_bucket"}  # fmt: skip
        assert list(shown) == [*(str(bound / 1e9) for bound in bounds), "+Inf"]
        assert list(shown.values()) == [sum(range(n + 1)) for n in range(len(bounds) + 1)]


def test_stale_figures_say_so_and_do_not_age_the_rest() -> None:
    known = model(view(), view("db", "other"))
    old = stats(taken=time.time() - 90, stale=True)
    found = samples(render(known, [old, stats("other", taken=time.time() - 2)]))
    assert value(found, "frontinus_guest_stats_stale") == 1
    age, oldest = value(found, "frontinus_guest_stats_age_seconds"), value(found, "frontinus_stats_age_seconds")
    assert age is not None and 90 <= age < 95
    assert oldest is not None and 2 <= oldest < 7


def test_events_are_counted_and_survive_a_resync() -> None:
    known = model(view())
    for _ in range(3):
        known.take(WatchdogEvent(uuid=UUID, name="web", action="reset"))
    known.take(LifecycleEvent(uuid=UUID, name="web", kind="suspended", detail="paused", guest=view(state="paused")))
    known.take(Snapshot(generation=20, guests=(view(),), resync=True))
    found = samples(render(known, []))
    assert value(found, "frontinus_guest_events_total", event="watchdog") == 3
    assert value(found, "frontinus_guest_events_total", event="suspended") == 1


def test_without_an_engine_only_that_is_said() -> None:
    found = samples(render(Model(), []))
    assert value(found, "frontinus_up") == 0
    assert not [name for name, _ in found if name.startswith("frontinus_guest")]


def test_a_metric_can_not_be_named_twice() -> None:
    names: list[Metric[object]] = list(NATIVE.metrics())
    assert len({metric.name for metric in names}) == len({metric.family for metric in names}) == len(names)


def test_details_of_a_definition() -> None:
    found = details("""<domain><devices>
      <disk type='network' device='disk'><source protocol='rbd' name='pool/image'/><target dev='vda' bus='virtio'/></disk>
      <disk type='block' device='cdrom'><source dev='/dev/sr0'/><target dev='sda' bus='sata'/></disk>
      <interface type='bridge'><source bridge='br0'/><virtualport type='openvswitch'><parameters interfaceid='p-1'/></virtualport>
        <target dev='tap0'/><mtu size='9000'/></interface>
      <interface type='user'><mac address='52:54:00:00:00:01'/></interface>
    </devices></domain>""")
    parts = [Part(None, device) for device in (*found.disks.values(), *found.nics.values())]
    assert [(source(d), d.device["source/@file"], said("source/@protocol")(d), removable(d)) for d in parts[:2]] == [
        ("pool/image", "", "rbd", False), ("/dev/sr0", "", "", True)]  # fmt: skip
    assert [(said("source/@bridge")(n), said(PORT)(n), said("mtu/@size")(n)) for n in parts[2:]] == [
        ("br0", "p-1", "9000")
    ]
    assert found.nova == {}
    with pytest.raises(InvalidXML):
        details("<domain>")


def test_the_reference_is_up_to_date() -> None:
    page = Path(__file__).resolve().parents[3] / "docs/prometheus-metrics.md"
    assert page.read_text() == markdown(), "run: python -m frontinus_prometheus.reference > docs/prometheus-metrics.md"


def test_the_reference_knows_every_profiles_identity() -> None:
    entry = Entry(view())
    host = facts(model(view()), [], fresh=True, version=VERSION, host=HOST)
    for profile in (NATIVE, *COMPAT):
        assert tuple(profile.identity(entry, host)) == IDENTITY[profile.name]
