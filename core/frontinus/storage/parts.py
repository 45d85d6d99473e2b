"""What the documents of pools and volumes share: permissions, sizes in bytes, paths without superfluous slashes."""

from __future__ import annotations

import re

from frontinus.xml import Model, Size, xml
from frontinus.xml.codecs import Codec, integer

Bytes = Size("bytes")


def _mode(text: str) -> int:
    if not re.fullmatch(r"[0-7]{1,5}", text):
        raise ValueError(f"'{text[:20]}' is no file mode in octal digits")
    value = int(text, 8)
    if value > 0o7777:
        raise ValueError(f"{text} is no file mode")
    return value


def _path(text: str) -> str:
    """Slashes taken together, none at the end, as paths are compared."""
    if "\0" in text:
        raise ValueError("a path has no NUL")
    if not text.startswith("/"):
        return text  # an address, not a path of this host
    clean = re.sub(r"/+", "/", text)
    return clean.rstrip("/") or clean


Mode: Codec[int] = Codec(_mode, lambda value: f"0{value:o}", ("0", "07777"))
Path: Codec[str] = Codec(_path, str)
Id = integer(-1, 2**32 - 2)


class Permissions(Model, tag="permissions"):
    """Mode, owner, group and security label of a file; None where nobody chose."""

    mode: int | None = xml("mode", Mode)
    owner: int | None = xml("owner", Id)
    group: int | None = xml("group", Id)
    label: str | None = xml("label")

    def complete(self) -> None:
        """-1 says the same as nothing."""
        self.owner = None if self.owner == -1 else self.owner
        self.group = None if self.group == -1 else self.group
