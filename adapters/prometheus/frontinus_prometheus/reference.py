"""The reference of all metrics, from their tables: `python -m frontinus_prometheus.reference > docs/prometheus-metrics.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from frontinus_prometheus.compat import COMPAT
from frontinus_prometheus.metric import Metric, Profile, Scope
from frontinus_prometheus.native import NATIVE

INTRODUCTION = """# Metrics of the Prometheus exporter

Written by `python -m frontinus_prometheus.reference`; change the tables in `adapters/prometheus`, not this file.
A figure that is not known (the guest has no balloon driver, the interface no device on the host) has no series.
"""

IDENTITY = {
    "native": ("name", "uuid"), "inovex": ("domain",), "tinkoff": ("domain",), "kumina": ("domain", "uuid"),
    "zhang": ("domain", "instanceName", "instanceId", "flavorName", "userName", "userId", "projectName", "projectId", "host"),
}  # fmt: skip
"""Labels of every series of a guest, by profile."""


def rows(profile: Profile) -> Iterator[tuple[Metric[object], tuple[str, ...]]]:
    """Every family with its labels."""
    for scopes, identity in ((profile.engine, ()), (profile.guests + profile.figures, IDENTITY[profile.name])):
        scope: Scope[object]
        for scope in scopes:
            for metric in scope.metrics:
                yield metric, (*identity, *scope.labels)


def markdown() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for path, profile in (("/metrics", NATIVE), *((f"/metrics/{p.name}", p) for p in COMPAT)):
        parts.append(f"\n## `{path}`\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n")
        parts += [f"| `{m.name}` | {m.kind} | {', '.join(labels)} | {m.help} |\n" for m, labels in rows(profile)]
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(markdown())
