"""The commands of `frontinus`, in virsh's words: one row each, a file a concern."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from frontinus.client.commands.base import Command

FILES = ("guests", "power", "definitions", "devices", "figures", "saved", "interaction", "host", "offline")


def commands() -> Mapping[str, Command]:
    """Every command by name."""
    found: dict[str, Command] = {}
    for file in FILES:
        module = import_module(f"frontinus.client.commands.{file}")
        for command in module.COMMANDS:
            found[command.name] = command
    return found
