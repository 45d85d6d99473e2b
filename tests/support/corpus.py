"""The corpus of XML cases that lies beside a checkout, where it is there: facts to measure against."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

SAID = ("id", "qmp", "fail", "flags", "parseflags", "result", "feature", "models", "op", "keep", "json")
CORPUS = Path(__file__).resolve().parents[3] / "shared/corpus"


def cases(kind: str) -> Iterator[dict[str, str]]:
    """The cases of a kind: the texts by role, and under the names in SAID what the index says."""
    for case in json.loads((CORPUS / "index.json").read_text())["cases"]:
        if case["kind"] == kind:
            texts = {role: (CORPUS / path).read_text() for role, path in case["files"].items()}
            yield texts | {name: str(case.get(name) or "") for name in SAID}


def compared(expected: str, got: str) -> bool:
    """Whether two documents say the same, by the corpus's own tool."""
    sys.path.insert(0, str(CORPUS.parent / "tools"))
    try:
        import compare_xml
    finally:
        sys.path.pop(0)
    return bool(compare_xml.score(expected, got, ())["equal"])
