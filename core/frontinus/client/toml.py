"""Reading an adapter's TOML file field by field: every mistake is named, and what nobody asked for is one."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from pathlib import Path

Address = tuple[str, int]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadConfig(Exception):
    """The configuration cannot be used; the message names the field."""


def read(path: Path) -> Reader | None:
    """A file's table; None if there is no file. Raises BadConfig."""
    try:
        return Reader(path, tomllib.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: {error}") from None


class Reader:
    """A table, whose fields are taken one by one; what is left over is a mistake."""

    def __init__(self, file: Path, table: Mapping[str, object], name: str = "") -> None:
        self.file, self._table, self._name = file, dict(table), name

    def where(self, field: str) -> str:
        return f"{self.file}: '{self._name + '.' if self._name else ''}{field}'"

    def take(self, field: str) -> object:
        return self._table.pop(field, None)

    def text(self, field: str, default: str = "") -> str:
        found = self.take(field)
        if found is not None and not isinstance(found, str):
            raise BadConfig(f"{self.where(field)} must be a string")
        return default if found is None else found

    def number(self, field: str, default: float, least: float, most: float) -> float:
        found = self.take(field)
        if found is None:
            return default
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not least <= found <= most:
            raise BadConfig(f"{self.where(field)} must be a number, {least:g} to {most:g}")
        return found

    def flag(self, field: str, default: bool = False) -> bool:
        found = self.take(field)
        if found is not None and not isinstance(found, bool):
            raise BadConfig(f"{self.where(field)} must be true or false")
        return default if found is None else found

    def strings(self, field: str) -> list[str]:
        found = self.take(field)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
            raise BadConfig(f"{self.where(field)} must be a list of strings")
        return found

    def path(self, field: str) -> Path | None:
        text = self.text(field)
        return Path(text) if text else None

    def addresses(self, field: str) -> tuple[Address, ...]:
        """Addresses and ports in numbers."""
        return tuple(self.address(field, text) for text in self.strings(field))

    def address(self, field: str, text: str) -> Address:
        """The address and port that a field's text is."""
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            colon = ""
        if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
            raise BadConfig(f"{self.where(field)}: '{text}' is no ADDRESS:PORT in numbers")
        return host, int(port)

    def networks(self, field: str) -> tuple[Network, ...]:
        try:
            return tuple(ipaddress.ip_network(text) for text in self.strings(field))
        except ValueError as error:
            raise BadConfig(f"{self.where(field)}: {error}") from None

    def table(self, field: str) -> Reader | None:
        found = self.take(field)
        if found is not None and not isinstance(found, dict):
            raise BadConfig(f"{self.where(field)} must be a table")
        return None if found is None else Reader(self.file, found, field)

    def tables(self, field: str) -> list[tuple[str, Reader]]:
        """A table of tables."""
        found = self.table(field)
        if found is None:
            return []
        named = [(name, found.table(name)) for name in list(found._table)]
        return [(name, table) for name, table in named if table is not None]

    def rows(self, field: str) -> list[Reader]:
        """A list of tables."""
        found = self.take(field)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise BadConfig(f"{self.where(field)} must be a list of tables")
        return [Reader(self.file, item, field) for item in found]

    def done(self) -> None:
        if self._table:
            raise BadConfig(f"{self.where(next(iter(self._table)))} is unknown")
