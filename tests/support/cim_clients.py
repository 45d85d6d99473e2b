"""Three clients of CIM that are made alike: pywbem, pywbemcli and sblim's wbemcli."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any, Protocol

from pywbem import CIMInstanceName, Uint16

from support.cim import PASSWORD, Provider


class Client(Protocol):
    """What a client has to be able to do. Methods are given texts, as a command line has them, and answer what they return."""

    async def call(self, path: CIMInstanceName, method: str, **given: str | list[str]) -> int: ...

    async def value(self, path: CIMInstanceName, name: str) -> int: ...


class ByPywbem:
    def __init__(self, cim: Provider) -> None:
        self.cim = cim

    async def call(self, path: CIMInstanceName, method: str, **given: str | list[str]) -> int:
        typed: dict[str, Any] = {
            name: Uint16(text) if name == "RequestedState" else text for name, text in given.items()
        }
        if "AffectedSystem" in typed:
            typed["AffectedSystem"] = CIMInstanceName.from_wbem_uri(str(typed["AffectedSystem"]))
        value, _ = await self.cim.ask("InvokeMethod", method, path, **typed)
        return int(value)

    async def value(self, path: CIMInstanceName, name: str) -> int:
        return int((await self.cim.ask("GetInstance", path, PropertyList=[name]))[name])


class Command:
    """A client that is a program."""

    async def run(self, argv: list[str], feed: str | None = None, seconds: float = 120) -> str:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "500", "PYWBEMCLI_WARN": "0", "PYTHONWARNINGS": "ignore"})  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate((feed or "").encode()), seconds)
        assert process.returncode == 0, said.decode()
        return said.decode()


class ByPywbemcli(Command):
    """Many commands go to one session, which reads them from its standard input: each start of the program costs half a second."""

    def __init__(self, cim: Provider) -> None:
        self.argv = [str(Path(sys.executable).with_name("pywbemcli")), "-s", f"https://127.0.0.1:{cim.port}", "-u", "admin",
                     "-p", PASSWORD, "--no-verify", "-d", "root/virt"]  # fmt: skip

    async def call(self, path: CIMInstanceName, method: str, **given: str | list[str]) -> int:
        words = [f"{name}={','.join(text) if isinstance(text, list) else text}" for name, text in given.items()]
        options = [word for text in words for word in ("-p", text)]
        said = await self.run([*self.argv, "instance", "invokemethod", local(path), method, *options])
        return int(re.findall(r"^ReturnValue=(\d+)", said, re.MULTILINE)[0])

    async def value(self, path: CIMInstanceName, name: str) -> int:
        said = await self.run([*self.argv, "instance", "get", local(path), "--pl", name])
        return int(re.findall(rf"^ *{name} = (\d+);", said, re.MULTILINE)[0])


class ByWbemcli(Command):
    """Calls methods by cmx, which shows the answer as it came: its cm fails at arrays of references in answers."""

    def __init__(self, cim: Provider) -> None:
        self._url, self._turns = cim.url(), asyncio.Semaphore(3)

    async def call(self, path: CIMInstanceName, method: str, **given: str | list[str]) -> int:
        words = [f"{name}={','.join(text) if isinstance(text, list) else text}" for name, text in given.items()]
        said = await self.ask("cmx", path.namespace, local(path), f"{method}.{','.join(words)}")
        return int(re.findall(r"<RETURNVALUE[^>]*>\s*<VALUE>(\d+)", said)[0])

    async def value(self, path: CIMInstanceName, name: str) -> int:
        return int(await self.ask("gp", path.namespace, local(path), name))

    async def ask(self, operation: str, space: str, about: str, *words: str) -> str:
        async with self._turns:
            return await self.run(["wbemcli", "-nl", "-noverify", operation, f"{self._url}/{space}:{about}", *words])


def local(path: CIMInstanceName) -> str:
    """A path as command lines take it."""
    keys = ",".join(f'{name}="{value}"' for name, value in path.keybindings.items())
    return f"{path.classname}.{keys}"


CLIENTS: list[type[Any]] = [ByPywbem, ByPywbemcli, ByWbemcli]
