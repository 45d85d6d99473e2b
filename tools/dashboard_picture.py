"""Draws a dashboard of ours from what a Prometheus server knows, as HTML, and as a picture with --png and a headless Chromium.

    python tools/dashboard_picture.py adapters/prometheus/dashboards/frontinus-host.json --prometheus http://localhost:9090 \
        --set instance=localhost:9177 --minutes 15 --png docs/pictures/host.png

Grafana draws them better; this is for the documentation, and for looking at them where there is no Grafana.
"""

from __future__ import annotations

import argparse
import html
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

COLUMN, LINE, GAP = 50, 34, 8
"""Pixels of a column and of a line of the grid, and between panels."""
COLOURS = ("#3b7ddd", "#e0722e", "#2e9e5b", "#b34a9b", "#b08a00", "#3aa6a6", "#c0392b", "#6b6bd6", "#7f8c4d", "#555555")
STEPS = 120
STYLE = """body{margin:0;background:#f4f5f7;font:12px sans-serif;color:#222}h1{font-size:18px;margin:12px 8px}
.p{position:absolute;background:#fff;border:1px solid #ddd;border-radius:4px;box-sizing:border-box;padding:6px 8px;overflow:hidden}
.t{font-weight:bold;margin-bottom:2px}.v{font-size:30px;text-align:center;margin-top:14px;color:#2e6f40}
.l{white-space:nowrap;color:#444;font-size:11px}.l i{display:inline-block;width:10px;height:3px;margin:0 4px 3px 8px}
svg{overflow:visible}
text{font-size:10px;fill:#666}"""

Series = tuple[str, list[tuple[float, float]]]


def shown(value: float, unit: str) -> str:
    """A number as Grafana would write it, nearly."""
    if unit == "bool_on_off":
        return "on" if value else "off"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "dateTimeFromNow":
        return f"{(time.time() * 1000 - value) / 60000:.0f} min ago"
    base, ends = (
        (1024, ("", " KiB", " MiB", " GiB", " TiB"))
        if unit in ("bytes", "Bps")
        else (1000, ("", " k", " M", " G", " T"))
    )
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1000:.3g} ms"
    size, number = 0, value
    while abs(number) >= base and size < len(ends) - 1:
        size, number = size + 1, number / base
    return f"{number:.3g}{ends[size]}" + {"Bps": "/s", "iops": "/s", "pps": "/s", "s": " s"}.get(unit, "")


class Prometheus:
    """Asks a server for the range that is drawn."""

    def __init__(self, url: str, minutes: float, variables: Mapping[str, str]) -> None:
        self.url, self.end = url, time.time()
        self.start, self.step = self.end - minutes * 60, max(1.0, minutes * 60 / STEPS)
        self.variables = {
            "__rate_interval": f"{max(10, int(self.step * 4))}s",
            "__interval": f"{int(self.step) or 1}s",
            **variables,
        }

    def series(self, query: str, legend: str) -> list[Series]:
        for name, value in self.variables.items():
            query = query.replace(f"${name}", value)
        asked = urlencode({"query": query, "start": self.start, "end": self.end, "step": self.step})
        with urlopen(f"{self.url}/api/v1/query_range?{asked}") as answer:  # the caller's own server
            found = json.load(answer)["data"]["result"]
        return [(name_of(row["metric"], legend), [(float(t), float(v)) for t, v in row["values"]]) for row in found]


def name_of(labels: Mapping[str, str], legend: str) -> str:
    """A legend with its labels filled in."""
    if legend == "__auto":
        return ", ".join(f"{k}={v}" for k, v in labels.items() if k not in ("__name__", "instance", "job"))
    for name, value in labels.items():
        legend = legend.replace("{{" + name + "}}", value)
    return legend


def curve(
    points: Sequence[tuple[float, float]], box: tuple[float, float, float, float], size: tuple[float, float]
) -> str:
    """The points of a line in a picture of this size; `box`: what of both axes it shows."""
    x0, x1, y0, y1 = box
    return " ".join(f"{(x - x0) / (x1 - x0) * size[0]:.1f},{size[1] - (y - y0) / (y1 - y0) * size[1]:.1f}" for x, y in points
                    if y == y)  # fmt: skip


def graph(series: Sequence[Series], unit: str, server: Prometheus, width: float, height: float) -> str:
    """Lines, an axis at the left, and the legend below."""
    known = [y for _, points in series for _, y in points if y == y]
    if not known:
        return "<div class=l>no data</div>"
    low, high = min(0.0, *known), max(0.0, *known)
    high = high if high > low else low + 1
    left, below = 64.0, 26.0
    size = (width - left - 4, height - below - 8)
    box = (server.start, server.end, low, high)
    lines = [f'<polyline fill="none" stroke="{COLOURS[n % len(COLOURS)]}" stroke-width="1.5" points="{curve(points, box, size)}"/>'
             for n, (_, points) in enumerate(series)]  # fmt: skip
    marks = []
    for part in range(5):
        value, y = low + (high - low) * part / 4, size[1] * (1 - part / 4)
        marks.append(f'<line x1="0" x2="{size[0]}" y1="{y}" y2="{y}" stroke="#e8e8e8"/>'
                     f'<text x="-4" y="{y + 3}" text-anchor="end">{html.escape(shown(value, unit))}</text>')  # fmt: skip
    legend = "".join(f'<i style="background:{COLOURS[n % len(COLOURS)]}"></i>{html.escape(name or "value")}'
                     for n, (name, _) in enumerate(series[:8]))  # fmt: skip
    return (f'<svg width="{width}" height="{height - below}"><g transform="translate({left},8)">{"".join(marks)}{"".join(lines)}'
            f'</g></svg><div class=l>{legend}</div>')  # fmt: skip


def panel(row: Mapping[str, Any], server: Prometheus) -> str:
    place, unit = row["gridPos"], row["fieldConfig"]["defaults"]["unit"]
    width, height = place["w"] * COLUMN - GAP, place["h"] * LINE - GAP
    series = [one for target in row["targets"] for one in server.series(target["expr"], target["legendFormat"])]
    if row["type"] == "stat":
        last = [(name, points[-1][1]) for name, points in series if points]
        text = ", ".join(name if row["title"] == "State" else shown(value, unit) for name, value in last) or "no data"
        body = f"<div class=v>{html.escape(text)}</div>"
    else:
        body = graph(series, unit, server, width - 18, height - 30)
    style = f"left:{place['x'] * COLUMN + GAP}px;top:{place['y'] * LINE + 44}px;width:{width}px;height:{height}px"
    return f'<div class=p style="{style}"><div class=t>{html.escape(row["title"])}</div>{body}</div>'


def page(board: Mapping[str, Any], server: Prometheus) -> tuple[str, int]:
    """The whole page, and its height in pixels."""
    bottom = max(row["gridPos"]["y"] + row["gridPos"]["h"] for row in board["panels"]) * LINE + 52
    panels = "".join(panel(row, server) for row in board["panels"])
    chosen = html.escape(", ".join(value for name, value in server.variables.items() if not name.startswith("__")))
    head = f"<!doctype html><meta charset=utf-8><title>{html.escape(board['title'])}</title><style>{STYLE}</style>"
    return f"{head}<h1>{html.escape(board['title'])} <small>{chosen}</small></h1>{panels}\n", bottom


def photograph(document: str, height: int, target: Path) -> None:
    """The page as a browser draws it."""
    browser = shutil.which("chromium")
    if browser is None:
        raise SystemExit("there is no chromium here")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "page.html")
        source.write_text(document)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
                   f"--screenshot={target}", f"--window-size={24 * COLUMN + 2 * GAP},{height}"]  # fmt: skip
        subprocess.run([browser, *options, source.as_uri()], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=120)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dashboard", type=Path)
    parser.add_argument("--prometheus", default="http://localhost:9090")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--set", action="append", default=[], metavar="VARIABLE=VALUE")
    parser.add_argument("--png", type=Path, help="write a picture; without it the HTML goes to standard output")
    options = parser.parse_args()
    variables = dict(one.split("=", 1) for one in options.set)
    document, height = page(
        json.loads(options.dashboard.read_text()), Prometheus(options.prometheus, options.minutes, variables)
    )
    if options.png:
        photograph(document, height, options.png.resolve())
    else:
        sys.stdout.write(document)


if __name__ == "__main__":
    main()
