"""Choosing the ports of an engine from its configuration."""

from __future__ import annotations

from frontinus.api.errors import InvalidValue
from frontinus.daemon.config import Config
from frontinus.engine.local import LocalEngine


async def make_engine(config: Config) -> LocalEngine:
    """An engine that is not started yet. Raises InvalidValue for an unknown hypervisor."""
    if config.hypervisor == "mock":
        return await _mock(config)
    if config.hypervisor == "qemu":
        return await _qemu(config)
    raise InvalidValue(f"unknown hypervisor '{config.hypervisor}': use qemu or mock", field="hypervisor")


async def _mock(config: Config) -> LocalEngine:
    from frontinus.mock.engine import mock_engine

    return await mock_engine(config.paths, guests=config.mock_guests)


async def _qemu(config: Config) -> LocalEngine:
    from frontinus.daemon.compose_qemu import qemu_engine

    return await qemu_engine(config)
