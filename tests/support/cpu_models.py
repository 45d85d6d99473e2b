"""Ask QEMU what its CPU models are made of, and write the table that the domain carries.

    python -m support.cpu_models /usr/bin/qemu-system-x86_64... > core/frontinus/domain/cpu/named.json

Several releases can be asked; the first that knows a model tells it. Needs /dev/kvm: TCG hides vme, KVM hides svm.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any

NO_MODELS = ("max", "host", "base")
FOREIGN = ("kvm", "vmx-", "hv-")
"""Beginnings of properties that are no features of a processor, or that follow from one."""
NOT_FEATURES = ("lmce",)
HIDDEN_BY_TCG = ("vme",)

Expansions = Mapping[str, Mapping[str, object]]


def expansions(emulator: str, accelerator: str) -> Expansions:
    """Every model's properties as one accelerator sees them."""
    ours, theirs = socket.socketpair()
    with theirs:
        argv = [
            *emulator.split(),
            "-S",
            "-no-user-config",
            "-nodefaults",
            "-nographic",
            "-machine",
            "none",
            "-accel",
            accelerator,
            "-chardev",
            f"socket,id=m,fd={theirs.fileno()}",
            "-mon",
            "chardev=m,mode=control",
        ]
        process = subprocess.Popen(argv, pass_fds=[theirs.fileno()])
    with ours, ours.makefile("rw") as channel:
        channel.readline()
        _ask(channel, "qmp_capabilities")
        names = [entry["name"] for entry in _ask(channel, "query-cpu-definitions")]
        found = {name: _ask(channel, "query-cpu-model-expansion", type="static", model={"name": name})
                 for name in names if name not in NO_MODELS}  # fmt: skip
        _ask(channel, "quit")
    process.wait()
    return {name: answer["model"]["props"] for name, answer in found.items() if "model" in answer}


def _ask(channel: IO[str], command: str, **arguments: object) -> Any:
    channel.write(json.dumps({"execute": command, "arguments": arguments}))
    channel.flush()
    while True:
        reply = json.loads(channel.readline())
        if "return" in reply or "error" in reply:
            return reply.get("return", {})


def models(emulator: str) -> dict[str, dict[str, object]]:
    """The unversioned models of one binary: vendor, family, model number and features."""
    emulated, virtual = expansions(emulator, "tcg"), expansions(emulator, "kvm")
    return {name: _row(props, virtual.get(name, {})) for name, props in emulated.items()
            if not re.search(r"-v\d+$", name)}  # fmt: skip


def _row(emulated: Mapping[str, object], virtual: Mapping[str, object]) -> dict[str, object]:
    features = set(_features(emulated)) | {name for name in HIDDEN_BY_TCG if virtual.get(name)}
    return {"vendor": emulated["vendor"], "family": emulated["family"], "model": emulated["model"],
            "features": " ".join(sorted(features))}  # fmt: skip


def _features(props: Mapping[str, object]) -> Iterator[str]:
    return (name for name, value in props.items()
            if value is True and not name.startswith(FOREIGN) and name not in NOT_FEATURES)  # fmt: skip


def main(emulators: list[str]) -> None:
    """Print the table, one model a line."""
    table: dict[str, dict[str, object]] = {}
    for emulator in emulators:
        table = models(emulator) | table
    lines = [f"{json.dumps(name)}: {json.dumps(table[name])}" for name in sorted(table)]
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
