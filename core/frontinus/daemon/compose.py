"""Choosing the ports of an engine from its configuration."""

from __future__ import annotations

import grp

from frontinus.api.errors import InvalidValue
from frontinus.daemon.config import Config
from frontinus.engine.access import ByRole, Policy
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

    return await mock_engine(config.paths, guests=config.mock_guests, policy=policy(config))


def policy(config: Config) -> Policy:
    """Who decides. Raises InvalidValue when polkit is wanted and cannot be spoken to."""
    if config.access != "polkit":
        return ByRole()
    try:
        from frontinus.linux.polkit import Polkit
    except ImportError as error:
        raise InvalidValue(
            f"access = 'polkit' needs the extra 'dbus' of this distribution: {error}", field="access"
        ) from None
    try:
        return Polkit(managers=grp.getgrnam(config.group).gr_gid)
    except KeyError:
        return Polkit()


async def _qemu(config: Config) -> LocalEngine:
    from frontinus.daemon.compose_qemu import qemu_engine

    return await qemu_engine(config, policy(config))
