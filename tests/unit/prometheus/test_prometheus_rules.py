"""The rules and dashboards that are shipped ask for figures that exist, and do what they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from frontinus_prometheus.dashboards import DASHBOARDS, ONE_GUEST, OVERVIEW, text
from frontinus_prometheus.native import NATIVE

FOLDER = Path(__file__).resolve().parents[3] / "adapters/prometheus"
RULES = FOLDER / "rules/frontinus.rules.yml"
NAMES = {m.name + "_bucket" * (m.kind == "histogram") for m in NATIVE.metrics()}


def asked(words: str) -> set[str]:
    """Names of figures; those after a colon are of recorded rules."""
    return set(re.findall(r"(?<![\w:])frontinus_\w+", words))


def test_rules_ask_for_what_there_is() -> None:
    found = asked("".join(re.findall(r"expr:(.*?)(?:\n {6,8}\w+:|\n\n)", RULES.read_text(), re.S)))
    assert len(found) > 10 and found <= NAMES


def test_dashboards_ask_for_what_there_is() -> None:
    found = asked(" ".join(query for panel in (*OVERVIEW, *ONE_GUEST) for _, query in panel.queries))
    assert len(found) > 30 and found <= NAMES


@pytest.mark.parametrize("name", list(DASHBOARDS))
def test_dashboards_are_up_to_date(name: str) -> None:
    assert (FOLDER / "dashboards" / name).read_text() == text(DASHBOARDS[name]), (
        "run: python -m frontinus_prometheus.dashboards adapters/prometheus/dashboards"
    )


def test_panels_do_not_overlap() -> None:
    for board in DASHBOARDS.values():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:  # type: ignore[attr-defined]
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
            assert not cells & taken and place["x"] + place["w"] <= 24
            taken |= cells


@pytest.mark.needs("promtool")
def test_promtool_passes_the_rules() -> None:
    for argv in (["check", "rules", RULES.name], ["test", "rules", "frontinus.test.yml"]):
        done = subprocess.run(["promtool", *argv], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert alerts == set(re.findall(r"alertname: (\w+)", (RULES.parent / "frontinus.test.yml").read_text()))


@pytest.mark.needs("promtool")
def test_promtool_reads_every_query_of_the_dashboards(tmp_path: Path) -> None:
    filled = [re.sub(r"\$__\w+", "5m", query) for panel in (*OVERVIEW, *ONE_GUEST) for _, query in panel.queries]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(filled)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
