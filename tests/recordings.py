"""A small recorded probe, written by hand: every kind of schema entity, two sessions, errors among the replies."""

from __future__ import annotations

import msgspec

SCHEMA = [
    {"name": "open", "meta-type": "command", "arg-type": "1", "ret-type": "9", "features": ["quick"]},
    {"name": "GONE", "meta-type": "event", "arg-type": "5"},
    {"name": "1", "meta-type": "object", "tag": "kind", "members": [
        {"name": "kind", "type": "2"}, {"name": "modes", "type": "[3]"}, {"name": "next", "type": "4"},
        {"name": "old", "type": "str", "features": ["deprecated"]}],
     "variants": [{"case": "disk", "type": "5"}, {"case": "none", "type": "9"}]},
    {"name": "2", "meta-type": "enum", "values": ["disk", "none"],
     "members": [{"name": "disk"}, {"name": "none", "features": ["unstable"]}]},
    {"name": "3", "meta-type": "enum", "values": ["fast", "slow"]},
    {"name": "[3]", "meta-type": "array", "element-type": "3"},
    {"name": "4", "meta-type": "alternate", "members": [{"type": "str"}, {"type": "1"}]},
    {"name": "5", "meta-type": "object", "members": [{"name": "path", "type": "str"}], "features": ["cached"]},
    {"name": "9", "meta-type": "object", "members": []},
    {"name": "str", "meta-type": "builtin", "json-type": "string"},
]  # fmt: skip


def recording(*sessions: list[tuple[str, dict[str, object], object]]) -> bytes:
    """A recording; a result that is an exception stands for an error reply."""
    lines: list[dict[str, object]] = []
    for session in sessions:
        for number, (command, arguments, result) in enumerate([("qmp_capabilities", {}, {}), *session]):
            reply = {"error": {"class": "GenericError", "desc": "no"}} if isinstance(result, Exception) else {
                "return": result}  # fmt: skip
            lines += [{"execute": command, "arguments": arguments, "id": str(number)}, {**reply, "id": str(number)}]
    return b"\n\n".join(msgspec.json.format(msgspec.json.encode(line), indent=2) for line in lines)


BASE: list[tuple[str, dict[str, object], object]] = [
    ("query-version", {}, {"qemu": {"major": 9, "minor": 1, "micro": 2}, "package": "p"}),
    ("query-target", {}, {"arch": "x86_64"}),
    ("query-qmp-schema", {}, SCHEMA),
    ("query-commands", {}, [{"name": "open"}]),
    ("query-kvm", {}, {"enabled": True, "present": True}),
    ("qom-list-types", {}, [{"name": "tcg-accel"}, {"name": "scsi-hd", "parent": "scsi-disk-base"}]),
    ("device-list-properties", {"typename": "scsi-hd"},
     [{"name": "lun", "type": "uint32", "default-value": 7}, {"name": "serial", "type": "str"}]),
    ("device-list-properties", {"typename": "absent"}, KeyError()),
    ("query-machines", {}, [
        {"name": "plain", "cpu-max": 1},
        {"name": "pc-9", "alias": "pc", "is-default": True, "cpu-max": 255, "hotpluggable-cpus": True},
        {"name": "isapc", "cpu-max": 1, "deprecated": True}]),
    ("query-cpu-definitions", {}, [{"name": "host", "unavailable-features": []}]),
    ("query-command-line-options", {}, [{"option": "sandbox", "parameters": [{"name": "spawn", "type": "string"}]}]),
    ("query-tpm-models", {}, ["tpm-crb"]),
    ("query-migrate-capabilities", {}, [{"capability": "xbzrle", "state": False}]),
    ("query-sev-capabilities", {}, KeyError()),
    ("query-cpu-model-expansion", {"type": "static", "model": {"name": "host"}}, {"model": {"name": "base", "props": {
        "aes": True}}}),
    ("query-cpu-model-expansion", {"type": "static", "model": {"name": "host", "props": {"migratable": False}}},
     {"model": {"name": "base", "props": {"aes": True, "invtsc": True}}}),
    ("query-cpu-model-expansion", {"type": "static", "model": {"name": "max"}}, {"model": {"name": "b", "props": {}}}),
]  # fmt: skip
SECOND: list[tuple[str, dict[str, object], object]] = [
    ("query-cpu-definitions", {}, [{"name": "host", "unavailable-features": ["kvm"]}, {"name": "max"}]),
    ("query-cpu-model-expansion", {"type": "static", "model": {"name": "max"}}, {"model": {"name": "b", "props": {}}}),
]
