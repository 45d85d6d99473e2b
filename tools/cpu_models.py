"""Write core/frontinus/qemu/caps/cpu_models.json: the vendor and the features of each CPU model that an emulator has.

usage: cpu_models.py [EMULATOR]

The features are those that QEMU expands a model to, whatever this host can run. Two are left out, because they come from
QEMU's own accelerator and not from the model. Models are told apart by features alone; versions (NAME-v2) are left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

import msgspec

from frontinus.qemu import process
from frontinus.qemu.caps.replies import DEFAULT_EMULATOR
from frontinus.qemu.monitor.client import Command, Monitor

TARGET = Path(__file__).parents[1] / "core/frontinus/qemu/caps/cpu_models.json"
MODES = {"host", "max", "base"}
FROM_QEMU = {"hypervisor", "monitor"}


class Named(msgspec.Struct):
    name: str


class Model(msgspec.Struct):
    props: dict[str, object]


class Expansion(msgspec.Struct):
    model: Model


def describe(expansion: Expansion) -> dict[str, object]:
    """Vendor and features of one model; of two spellings of a feature, QEMU's own."""
    props = expansion.model.props
    features = sorted(n for n, v in props.items() if v is True and "_" not in n and n not in FROM_QEMU)
    return {"vendor": props["vendor"], "features": features}


def models(emulator: str) -> dict[str, dict[str, object]]:
    """Start the emulator, ask it, end it."""
    ours, theirs = socket.socketpair()
    argv = [emulator, "-S", "-no-user-config", "-nodefaults", "-display", "none", "-machine", "none,accel=tcg",
            "-chardev", "socket,id=mon,fd=3", "-mon", "chardev=mon,mode=control"]  # fmt: skip
    pid = process.spawn(argv, {"LC_ALL": "C"}, {3: theirs.fileno()}, sys.stderr.fileno())
    theirs.close()
    try:
        return asyncio.run(ask(ours))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


async def ask(sock: socket.socket) -> dict[str, dict[str, object]]:
    """All models in one write."""
    monitor = Monitor(sock, lambda event: None, lambda reason: None)
    await monitor.negotiate()
    names = [n.name for n in await monitor.ask(list[Named], "query-cpu-definitions")]
    names = sorted(n for n in names if n not in MODES and not re.search(r"-v\d+$", n))
    questions = [Command("query-cpu-model-expansion", {"type": "static", "model": {"name": n}}) for n in names]
    answers = await monitor.execute_many(questions, deadline=60)
    return {n: describe(a.value(Expansion)) for n, a in zip(names, answers, strict=True)}


def main() -> None:
    found = models(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_EMULATOR)
    lines = (f" {json.dumps(name)}: {json.dumps(model)}" for name, model in found.items())
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(found)} models")


if __name__ == "__main__":
    main()
