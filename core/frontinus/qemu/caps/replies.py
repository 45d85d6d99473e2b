"""From the replies of a probe, fresh or recorded, to Capabilities. Pure but for reading the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from frontinus.api.errors import InvalidValue
from frontinus.domain.capabilities import Capabilities, CpuModel, MachineType
from frontinus.domain.qapi import Schema
from frontinus.qemu.caps import transcript
from frontinus.qemu.caps.transcript import Session

DEFAULT_EMULATOR = "/usr/bin/qemu-system-x86_64"
MACHINES_WITHOUT_ACPI = frozenset({"none", "isapc", "xenpv"})
"""Where query-machines does not tell (before QEMU 9.0)."""
BEST_MODEL: Mapping[str, str] = {"kvm": "host", "tcg": "max"}


class _Named(msgspec.Struct):
    name: str


class _Number(msgspec.Struct):
    major: int
    minor: int
    micro: int


class _Version(msgspec.Struct):
    qemu: _Number
    package: str = ""


class _Target(msgspec.Struct):
    arch: str


class _Kvm(msgspec.Struct):
    enabled: bool
    present: bool


class _Machine(msgspec.Struct, rename="kebab"):
    name: str
    cpu_max: int = 1
    alias: str | None = None
    is_default: bool = False
    deprecated: bool = False
    hotpluggable_cpus: bool = False
    default_cpu_type: str | None = None
    default_ram_id: str | None = None
    numa_mem_supported: bool = True
    acpi: bool | None = None


class _Cpu(msgspec.Struct, rename="kebab"):
    name: str
    unavailable_features: tuple[str, ...] | None = None
    alias_of: str | None = None
    deprecated: bool = False
    typename: str | None = None


class _Property(msgspec.Struct, rename="kebab"):
    name: str
    type: str = ""
    default_value: object = None


class _Parameters(msgspec.Struct):
    option: str
    parameters: tuple[_Named, ...] = ()


class _MigrateCapability(msgspec.Struct):
    capability: str


class _Model(msgspec.Struct):
    props: dict[str, object] = {}


class Expansion(msgspec.Struct):
    """The answer to query-cpu-model-expansion."""

    model: _Model


def load_replies(path: str | None, emulator: str = DEFAULT_EMULATOR) -> Capabilities:
    """Capabilities from a recorded QMP session; where path is None, of this host's emulator, from the cache or probed.

    Raises InvalidValue when the file is no recording; HypervisorFailed when the probe fails.
    """
    if path is None:
        from frontinus.qemu.caps import cache

        return from_sessions(transcript.read(cache.recording(emulator, cache.default_folder())), emulator)
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        raise InvalidValue(f"{path}: {error.strerror}", field="capabilities") from error
    return from_sessions(transcript.read(text), emulator)


def from_sessions(sessions: Sequence[Session], emulator: str) -> Capabilities:
    """Put the facts of one or two sessions together. Raises InvalidValue when an answer has another shape."""
    try:
        return _capabilities(sessions, emulator)
    except msgspec.MsgspecError as error:
        raise InvalidValue(f"{emulator}: an answer of its QMP is not understood: {error}", field="emulator") from error


def _capabilities(sessions: Sequence[Session], emulator: str) -> Capabilities:
    first = sessions[0]
    version = first.result("query-version", _Version)
    target = first.result("query-target", _Target)
    schema = first.result("query-qmp-schema", msgspec.Raw)
    if version is None or target is None or schema is None:
        raise InvalidValue(f"{emulator} does not tell its version, target or schema", field="emulator")
    index = Schema.decode(schema)
    types = _names(first, "qom-list-types")
    kvm = first.result("query-kvm", _Kvm)
    by_accel = dict(zip(("kvm", "tcg") if kvm and kvm.enabled else ("tcg",), sessions, strict=False))
    properties = _properties(first)
    return Capabilities(
        emulator=emulator,
        arch=target.arch,
        version=(version.qemu.major, version.qemu.minor, version.qemu.micro),
        package=version.package,
        kvm="kvm" in by_accel,
        tcg="tcg-accel" in types,
        machines=_machines(first),
        cpu_models={accel: _cpu_models(session) for accel, session in by_accel.items()},
        host_cpu={name: props for accel, session in by_accel.items() for name, props in _host_cpu(accel, session)},
        types=types,
        commands=_names(first, "query-commands"),
        events=index.named("event"),
        options=_options(first),
        properties={name: {p.name: p.type for p in listed} for name, listed in properties.items()},
        defaults={name: {p.name: p.default_value for p in listed} for name, listed in properties.items()},
        tpm_models=frozenset(first.result("query-tpm-models", list[str]) or ()),
        tpm_types=frozenset(first.result("query-tpm-types", list[str]) or ()),
        migration=frozenset(
            c.capability for c in first.result("query-migrate-capabilities", list[_MigrateCapability]) or ()
        ),
        sev=first.result("query-sev-capabilities", dict[str, object]),
        sgx=first.result("query-sgx-capabilities", dict[str, object]),
        schema=index,
    )


def _names(session: Session, command: str) -> frozenset[str]:
    return frozenset(n.name for n in session.result(command, list[_Named]) or ())


def _machines(session: Session) -> Mapping[str, MachineType]:
    return {
        m.name: MachineType(
            name=m.name,
            alias=m.alias,
            max_cpus=m.cpu_max,
            default=m.is_default,
            deprecated=m.deprecated,
            hotpluggable_cpus=m.hotpluggable_cpus,
            default_cpu=m.default_cpu_type,
            default_ram_id=m.default_ram_id,
            numa_mem_supported=m.numa_mem_supported,
            acpi=m.name not in MACHINES_WITHOUT_ACPI if m.acpi is None else m.acpi,
        )
        for m in session.result("query-machines", list[_Machine]) or ()
    }


def _cpu_models(session: Session) -> tuple[CpuModel, ...]:
    return tuple(
        CpuModel(
            name=c.name,
            usable=None if c.unavailable_features is None else not c.unavailable_features,
            blockers=c.unavailable_features or (),
            canonical=c.alias_of,
            deprecated=c.deprecated,
            type_name=c.typename,
        )
        for c in session.result("query-cpu-definitions", list[_Cpu]) or ()
    )


def _host_cpu(accel: str, session: Session) -> list[tuple[str, Mapping[str, object]]]:
    """The expansions of the best model, under the names that Capabilities.host_cpu documents."""
    found: list[tuple[str, Mapping[str, object]]] = []
    for arguments, result in session.results("query-cpu-model-expansion"):
        model = arguments.get("model")
        if not isinstance(model, dict) or model.get("name") != BEST_MODEL[accel]:
            continue
        props = model.get("props", {})
        kind = ".hyperv" if props.get("hv-passthrough") else "" if props.get("migratable", True) else ".all"
        found.append((accel + kind, msgspec.json.decode(result, type=Expansion).model.props))
    return found


def _options(session: Session) -> Mapping[str, frozenset[str]]:
    listed = session.result("query-command-line-options", list[_Parameters]) or ()
    return {o.option: frozenset(p.name for p in o.parameters) for o in listed}


def _properties(session: Session) -> Mapping[str, Sequence[_Property]]:
    decoder = msgspec.json.Decoder(list[_Property])
    commands = ("device-list-properties", "qom-list-properties")
    return {
        str(arguments.get("typename")): decoder.decode(result)
        for command in commands
        for arguments, result in session.results(command)
    }
