"""Stored definitions: domain XML in a folder of the administrator's, from which managers may make guests."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from frontinus.api.errors import HostFailed, InvalidXML

LARGEST = 2**20
MOST = 1000


def stored(folder: Path | None) -> Mapping[str, Path]:
    """The definitions NAME.xml by their names; none where others than the folder's owner may write. Raises OSError."""
    if folder is None:
        return {}
    _trusted(folder.stat(), folder)
    found = sorted(path for path in folder.iterdir() if path.suffix == ".xml" and len(path.stem.encode()) <= 255)
    return {path.stem: path for path in found[:MOST]}


def _trusted(status: os.stat_result, path: Path) -> None:
    if status.st_uid not in (0, os.getuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{path} must belong to root or the agent and be writable to its owner alone")


def instance(path: Path, uuid: str, name: str | None) -> str:
    """A stored definition as a guest of its own. Raises InvalidXML, HostFailed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            _trusted(os.fstat(file.fileno()), path)
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise HostFailed(f"the stored definition cannot be read: {error}") from None
    if len(content) > LARGEST or b"<!DOCTYPE" in content:
        raise InvalidXML(f"{path} is too large, or has a document type")
    try:
        domain = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise InvalidXML(f"{path} does not parse: {error}") from None
    _put(domain, "uuid", uuid)
    if name is not None:
        _put(domain, "name", name)
    for interface in domain.iterfind("devices/interface"):
        for address in interface.findall("mac"):
            interface.remove(address)
    return ElementTree.tostring(domain, encoding="unicode")


def _put(domain: ElementTree.Element, tag: str, text: str) -> None:
    element = domain.find(tag)
    if element is None:
        element = ElementTree.SubElement(domain, tag)
    element.text = text
