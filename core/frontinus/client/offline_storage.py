"""`frontinus xml` for pools, volumes and secrets, without a daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from frontinus.api.errors import StorageFailed
from frontinus.client.offline import line
from frontinus.storage.definition import (
    format_pool,
    format_secret,
    format_volume,
    parse_pool,
    parse_secret,
    parse_volume,
)
from frontinus.storage.pool import Pool

SOMEWHERE = "<pool type='dir'><name>pool</name><target><path>/</path></target></pool>"
"""The pool of a volume whose pool nobody named."""


def storage_lines(kind: str, files: Iterable[str], pool: str | None) -> Iterable[str]:
    """One line a file: {"file", "xml"} or {"file", "error"}. `pool`: a file with the pool that volumes are of."""
    around = parse_pool(_text(pool) if pool else SOMEWHERE)
    return (line(name, lambda text: {"xml": CANONICAL[kind](text, around)}) for name in files)


def _text(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise StorageFailed(f"cannot read '{file}': {error.strerror}", path=file) from None


CANONICAL: Mapping[str, Callable[[bytes, Pool], str]] = {
    "pool": lambda text, around: format_pool(parse_pool(text)),
    "volume": lambda text, around: format_volume(parse_volume(text, around)),
    "secret": lambda text, around: format_secret(parse_secret(text)),
}
