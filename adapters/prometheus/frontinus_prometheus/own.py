"""What the exporter tells about itself: prometheus_client's registry, for these are few and its own."""

from __future__ import annotations

import platform
from collections.abc import Collection

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    enable_created_metrics,
)
from prometheus_client import generate_latest as text
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text

from frontinus import __version__

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
END = b"# EOF\n"


class Own:
    """The exporter's own families."""

    def __init__(self, *, created: bool = True) -> None:
        (enable_created_metrics if created else disable_created_metrics)()  # type: ignore[no-untyped-call]  # all registries of the process
        registry = self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        build = Gauge(
            "frontinus_exporter_build_info", "The exporter, always 1.", ["version", "pythonversion"], registry=registry
        )
        build.labels(__version__, platform.python_version()).set(1)
        self.scrapes = Counter("frontinus_exporter_scrapes", "Scrapes answered, by profile.", ["profile"],
                               registry=registry)  # fmt: skip
        self.asking = Histogram("frontinus_exporter_engine_seconds", "Time of calls to the engine for figures.",
                                buckets=BUCKETS, registry=registry)  # fmt: skip
        self.rendering = Histogram("frontinus_exporter_render_seconds", "Time to make the text of a scrape.",
                                   buckets=BUCKETS, registry=registry)  # fmt: skip
        self.late = Counter("frontinus_exporter_late_scrapes", "Scrapes whose deadline passed before the engine answered.",
                            registry=registry)  # fmt: skip
        self.failures = Counter("frontinus_exporter_engine_failures", "Calls to the engine that failed, by its code.", ["code"],
                                registry=registry)  # fmt: skip
        self.connections = Counter("frontinus_exporter_engine_connections", "Times that the exporter connected to the engine.",
                                   registry=registry)  # fmt: skip
        self.items = Counter("frontinus_exporter_events", "Items of the engine's stream that the exporter took in.",
                             registry=registry)  # fmt: skip
        self.refused = Counter("frontinus_exporter_http_refused", "Connections and requests refused, by reason.", ["reason"],
                               registry=registry)  # fmt: skip

    def render(self, *, openmetrics: bool, names: Collection[str] = ()) -> bytes:
        """The text of all families or of these, without OpenMetrics' end."""
        chosen = self.registry.restricted_registry(names) if names else self.registry
        if openmetrics:
            shown: bytes = openmetrics_text(chosen)  # type: ignore[no-untyped-call]
            return shown.removesuffix(END)
        return text(chosen)
