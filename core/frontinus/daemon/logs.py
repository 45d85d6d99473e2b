"""Logs: one line a record, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        row = {"time": self.formatTime(record), "level": record.levelname, "logger": record.name,
               "message": record.getMessage()}  # fmt: skip
        if record.exc_info:
            row["traceback"] = self.formatException(record.exc_info)
        return json.dumps(row)


def set_up(level: str, style: str) -> None:
    """Log to standard error, which systemd takes into the journal."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else logging.Formatter(
        "%(asctime)s %(levelname)-7s %(name)s: %(message)s"))  # fmt: skip
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
