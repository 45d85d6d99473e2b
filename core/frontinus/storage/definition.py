"""From text to pools, volumes and secrets, and back: the one way in for their documents."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import TypeVar

from frontinus.api.errors import InvalidXML
from frontinus.storage.parts import Permissions
from frontinus.storage.pool import Pool, PoolSource
from frontinus.storage.pools import kind_of
from frontinus.storage.pools.base import SourceSpec
from frontinus.storage.secret import Secret
from frontinus.storage.volume import Volume, VolumeTarget
from frontinus.xml import DocumentError, MappingError, Model, View, format_document, parse_document

M = TypeVar("M", bound=Model)
NewId = Callable[[], str]


def random_id() -> str:
    return str(uuid.uuid4())


def parse_pool(text: str | bytes, *, validate: bool = False, new_id: NewId = random_id) -> Pool:
    """A pool with all that its kind fills in. Raises InvalidXML, Unsupported for a kind that no host has any more."""
    pool = _parse(Pool, text, validate=validate)
    kind = kind_of(pool.type)
    pool.source = pool.source or PoolSource()
    if pool.source.adapter is not None:
        pool.source.adapter.complete()
    if pool.target is not None and pool.target.permissions is not None:
        pool.target.permissions.complete()
    pool.capacity = pool.allocation = pool.available = 0
    pool.name = pool.name or pool.source.name
    kind.complete(pool)
    _refuse("pool", [*_bad_name(pool.name, "pool"), *kind.check(pool)])
    pool.uuid = pool.uuid or new_id()
    return pool


def parse_volume(text: str | bytes, pool: Pool, *, validate: bool = False, sized: bool = True) -> Volume:
    """A volume of a pool; `sized`: it needs a capacity of its own. Raises InvalidXML."""
    volume = _parse(Volume, text, validate=validate)
    kind = kind_of(pool.type)
    volume.target = volume.target or VolumeTarget()
    for permissions in _permissions(volume):
        permissions.complete()
    if volume.type is None:
        volume.type = kind.volume_type
    if volume.capacity is None and (volume.backing is None or not volume.backing.path) and sized:
        _refuse("volume", ["<capacity> is missing"])
    if volume.allocation is None:
        volume.allocation = volume.capacity
    kind.complete_volume(pool, volume)
    if volume.place.lazy_refcounts or volume.place.extended_l2:
        volume.place.compat = volume.place.compat or "1.1"
    _refuse("volume", [*_bad_name(volume.name, "volume"), *kind.check_volume(pool, volume)])
    return volume


def parse_secret(text: str | bytes, *, validate: bool = False, new_id: NewId = random_id) -> Secret:
    """Raises InvalidXML."""
    secret = _parse(Secret, text, validate=validate)
    _refuse("secret", list(secret.check()))
    secret.uuid = secret.uuid or new_id()
    return secret


def parse_source_spec(text: str | bytes) -> SourceSpec:
    """Where to look for sources of pools. Raises InvalidXML."""
    return _parse(SourceSpec, text, validate=False)


def format_pool(pool: Pool, *, active: bool = False) -> str:
    return format_document(pool, View.ACTIVE if active else View.INACTIVE)


def format_volume(volume: Volume, *, active: bool = False) -> str:
    return format_document(volume, View.ACTIVE if active else View.INACTIVE)


def format_secret(secret: Secret) -> str:
    return format_document(secret)


def _parse(model: type[M], text: str | bytes, *, validate: bool) -> M:
    try:
        found = parse_document(model, text)
    except MappingError as error:
        raise InvalidXML(str(error), element=error.element, line=str(error.line)) from None
    except DocumentError as error:
        raise InvalidXML(str(error), line=str(error.line or 0)) from None
    if validate:
        for unknown in found.unknown():
            kind = "attribute" if unknown.is_attribute else "element"
            raise InvalidXML(f"line {unknown.line}: unknown {kind} '{unknown.name}'", element=unknown.name,
                             line=str(unknown.line))  # fmt: skip
    return found


def _permissions(volume: Volume) -> list[Permissions]:
    found = [volume.place.permissions, volume.backing.permissions if volume.backing else None]
    return [one for one in found if one is not None]


def _bad_name(name: str | None, what: str) -> list[str]:
    if not name:
        return ["<name> is missing"]
    if len(name.encode()) > 255 or name in (".", "..") or re.search(r"[/\x00-\x1f]", name):
        return [f"<name>: a {what}'s name has 1 to 255 bytes, none of them '/' or a control character"]
    return []


def _refuse(element: str, reasons: list[str]) -> None:
    if reasons:
        raise InvalidXML("; ".join(reasons), element=element)
