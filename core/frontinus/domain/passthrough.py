"""The user's own words to QEMU: elements in the qemu namespace. A guest that uses them is tainted."""

from __future__ import annotations

from frontinus.xml import Model, many, texts, xml
from frontinus.xml.codecs import one_of


class EnvVar(Model, tag="env"):
    name: str = xml("@name", required=True)
    value: str | None = xml("@value")


class Commandline(Model, tag="commandline"):
    """Arguments appended to the command line, variables added to the environment."""

    arguments: list[str] = texts("qemu:arg/@value")
    environment: list[EnvVar] = many("qemu:env", EnvVar)


class QemuCapabilities(Model, tag="capabilities"):
    """Probed capabilities to take for granted or to ignore, by libvirt's names of them."""

    add: list[str] = texts("qemu:add/@capability")
    remove: list[str] = texts("qemu:del/@capability")


class Property(Model, tag="property"):
    """One property of a device set to another value, or with type remove left out."""

    name: str = xml("@name", required=True)
    type: str = xml("@type", one_of("string", "signed", "unsigned", "bool", "remove"), required=True)
    value: str | None = xml("@value")


class DeviceOverride(Model, tag="device"):
    alias: str = xml("@alias", required=True)
    properties: list[Property] = many("qemu:frontend/qemu:property", Property)


class Override(Model, tag="override"):
    """Properties of -device arguments replaced by alias."""

    devices: list[DeviceOverride] = many("qemu:device", DeviceOverride)


class Deprecation(Model, tag="deprecation"):
    """What QEMU does when a deprecated interface is used."""

    behavior: str = xml("@behavior", one_of("none", "omit", "reject", "crash"), required=True)
