"""The module that collectd gives to its plugins, for tests: it refuses what collectd refuses and keeps what it is given."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

TYPES = {
    "virt_cpu_total": "d", "virt_vcpu": "d", "percent": "g", "ps_cputime": "dd", "cpu_affinity": "g", "disk_ops": "dd",
    "disk_octets": "dd", "disk_time": "dd", "total_requests": "d", "total_time_in_ms": "d", "disk_allocation": "g",
    "disk_capacity": "g", "disk_physical": "g", "disk_error": "g", "if_octets": "dd", "if_packets": "dd",
    "if_errors": "dd", "if_dropped": "dd", "memory": "g", "swap_io": "d", "ps_pagefaults": "dd", "domain_state": "gg",
    "job_stats": "d",
}  # fmt: skip
"""Data sources of each type of collectd's types.db that is used: derive or gauge."""


@dataclass
class Config:
    key: str
    values: tuple[str | float | bool, ...] = ()
    children: tuple[Config, ...] = ()


@dataclass
class Values:
    type: str
    values: tuple[int | float, ...]
    plugin_instance: str = ""
    type_instance: str = ""
    plugin: str = ""
    host: str = ""
    time: float = 0.0

    def dispatch(self) -> None:
        assert len(self.values) == len(TYPES[self.type]), self
        for kind, value in zip(TYPES[self.type], self.values, strict=True):
            assert value >= 0 and (kind == "g" or isinstance(value, int)), self
        FAKE.values.append(self)


@dataclass
class Notification:
    type: str
    message: str
    plugin_instance: str = ""
    type_instance: str = ""
    plugin: str = ""
    host: str = ""
    severity: int = 0
    meta: dict[str, str | int] = field(default_factory=dict)

    def dispatch(self) -> None:
        FAKE.notifications.append(self)


class CollectdError(Exception):
    pass


class Fake(ModuleType):
    """One per test. `say` holds (level, text)."""

    NOTIF_FAILURE, NOTIF_WARNING, NOTIF_OKAY = 1, 2, 4
    Values, Notification, CollectdError, Config = Values, Notification, CollectdError, Config

    def __init__(self) -> None:
        super().__init__("collectd")
        self.values: list[Values] = []
        self.notifications: list[Notification] = []
        self.said: list[tuple[str, str]] = []
        self.callbacks: dict[str, Callable[..., None]] = {}
        self.readers: dict[str, tuple[Callable[[], None], float | None]] = {}

    def register_config(self, callback: Callable[..., None], *, name: str) -> None:
        self.callbacks[f"config {name}"] = callback

    def register_init(self, callback: Callable[[], None]) -> None:
        self.callbacks["init"] = callback

    def register_shutdown(self, callback: Callable[[], None]) -> None:
        self.callbacks["shutdown"] = callback

    def register_read(self, callback: Callable[[], None], interval: float | None = None, *, name: str) -> None:
        assert name not in self.readers
        self.readers[name] = (callback, interval)

    def error(self, text: str) -> None:
        self.said.append(("error", text))

    def warning(self, text: str) -> None:
        self.said.append(("warning", text))

    def notice(self, text: str) -> None:
        self.said.append(("notice", text))

    def info(self, text: str) -> None:
        self.said.append(("info", text))

    def configure(self, *lines: tuple[str, *tuple[str | float | bool, ...]]) -> None:
        """What a block of the configuration does."""
        block = Config("Module", ("frontinus",), tuple(Config(key, tuple(values)) for key, *values in lines))
        self.callbacks["config frontinus"](block)

    def read(self) -> dict[str, tuple[int | float, ...]]:
        """Let every reader read; the values by host/plugin-instance/type-instance, as collectd names them."""
        self.values.clear()
        for callback, _ in self.readers.values():
            callback()
        return {path(value): value.values for value in self.values}


def path(value: Values) -> str:
    plugin = "-".join(filter(None, (value.plugin, value.plugin_instance)))
    return f"{value.host}/{plugin}/{'-'.join(filter(None, (value.type, value.type_instance)))}"


FAKE = Fake()


@contextmanager
def loaded() -> Iterator[Fake]:
    """The plugin, imported as collectd does it."""
    global FAKE
    FAKE = Fake()
    sys.modules["collectd"] = FAKE
    sys.modules.pop("frontinus_collectd.plugin", None)
    try:
        importlib.import_module("frontinus_collectd.plugin")
        yield FAKE
    finally:
        FAKE.callbacks["shutdown"]()
        del sys.modules["collectd"]
