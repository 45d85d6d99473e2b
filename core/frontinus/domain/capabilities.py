"""What an emulator can do: probed facts, asked for by name. Built by qemu/caps from QMP; the mock has a recorded set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frontinus.domain.qapi import Schema


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
    type_name: str | None = None


@dataclass(frozen=True)
class Capabilities:
    """Probed facts of one emulator binary.

    `options` maps a command-line option (-sandbox is "sandbox") to its parameters; `properties` maps a device or object
    type to the properties that it lists (and their QOM types), where it was asked, `defaults` to those with a default;
    `schema` answers query-qmp-schema paths. `cpu_models` is by accelerator, "kvm" or "tcg". `host_cpu` holds the
    properties of the best CPU model (host for KVM, max for TCG): "kvm" and "tcg" what can migrate, "kvm.all" and
    "tcg.all" everything, "kvm.hyperv" everything with the Hyper-V enlightenments this host's KVM has.
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
    defaults: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    sev: Mapping[str, object] | None = None
    sgx: Mapping[str, object] | None = None
    granted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    """Schema paths that a guest's user takes for granted, or does not want to be used."""
    schema: Schema = field(default_factory=lambda: Schema(()), compare=False, repr=False)

    def has_type(self, name: str) -> bool:
        """Whether a QOM type (device, object, backend) exists."""
        return name in self.types

    def has_property(self, type_name: str, name: str) -> bool:
        """Whether a probed type has a property; false for a type that was not probed."""
        return name in self.properties.get(type_name, ())

    def property_default(self, type_name: str, name: str) -> object:
        """The default value of a probed type's property; None where it states none."""
        return self.defaults.get(type_name, {}).get(name)

    def has_command(self, name: str) -> bool:
        return name in self.commands

    def has_option(self, option: str, parameter: str | None = None) -> bool:
        known = self.options.get(option)
        return known is not None and (parameter is None or parameter in known)

    def has_schema(self, path: str) -> bool:
        """Whether query-qmp-schema has a path, e.g. "blockdev-add/arg-type/driver=file/aio=io_uring" (see qapi)."""
        return path in self.granted or (path not in self.denied and self.schema.has(path))

    def settles(self, emulator: str | None, machine: str | None) -> bool:
        """Whether what a definition leaves open can be told: its emulator is this one, its machine no alias but a type."""
        return (
            emulator in (None, self.emulator)
            and machine in self.machines
            and (self.canonical_machine(machine) is self.machines[machine or ""])
        )

    def canonical_machine(self, name: str | None) -> MachineType | None:
        """The machine that a name, an alias or None (the default) stands for."""
        if name is None:
            return next((machine for machine in self.machines.values() if machine.default), None)
        aliased = (machine for machine in self.machines.values() if machine.alias == name)
        return next(aliased, None) or self.machines.get(name)
