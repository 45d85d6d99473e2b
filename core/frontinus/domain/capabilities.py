"""What an emulator can do: probed facts, asked for by name. Built by qemu/caps from QMP; the mock has a recorded set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class MachineType:
    """One machine of query-machines."""

    name: str
    alias: str | None = None
    max_cpus: int = 1
    default: bool = False
    deprecated: bool = False
    hotpluggable_cpus: bool = False
    default_cpu: str | None = None
    default_ram_id: str | None = None
    numa_mem_supported: bool = True
    acpi: bool = True


@dataclass(frozen=True)
class CpuModel:
    """One model of query-cpu-definitions. `blockers` are the properties that this host lacks for it."""

    name: str
    usable: bool | None = None
    blockers: tuple[str, ...] = ()
    canonical: str | None = None
    deprecated: bool = False


@dataclass(frozen=True)
class Capabilities:
    """Probed facts of one emulator binary.

    `options` maps a command-line option (-sandbox is "sandbox") to its parameters; `properties` maps a device or object
    type to the properties that it lists, where it was asked; `schema` answers query-qmp-schema paths.
    """

    emulator: str
    arch: str
    version: tuple[int, int, int]
    package: str = ""
    kvm: bool = False
    tcg: bool = True
    machines: Mapping[str, MachineType] = field(default_factory=dict)
    cpu_models: Mapping[str, tuple[CpuModel, ...]] = field(default_factory=dict)
    host_cpu: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    types: frozenset[str] = frozenset()
    commands: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    options: Mapping[str, frozenset[str]] = field(default_factory=dict)
    properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tpm_models: frozenset[str] = frozenset()
    tpm_types: frozenset[str] = frozenset()
    migration: frozenset[str] = frozenset()

    def has_type(self, name: str) -> bool:
        """Whether a QOM type (device, object, backend) exists."""
        return name in self.types

    def has_property(self, type_name: str, name: str) -> bool:
        """Whether a probed type has a property; false for a type that was not probed."""
        return name in self.properties.get(type_name, ())

    def has_command(self, name: str) -> bool:
        return name in self.commands

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        known = self.options.get(option)
        return known is not None and (parameter is None or parameter in known)

    def has_schema(self, path: str) -> bool:
        """Whether query-qmp-schema has a path, e.g. "blockdev-add/arg-type/+file/aio/^io_uring"."""
        raise NotImplementedError

    def canonical_machine(self, name: str | None) -> MachineType | None:
        """The machine that a name, an alias or None (the default) stands for."""
        for machine in self.machines.values():
            if (name is None and machine.default) or name == machine.alias:
                return machine
        return self.machines.get(name or "")
