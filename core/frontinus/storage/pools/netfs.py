"""Pools of type netfs: a file system of a server (NFS, CIFS, GlusterFS), mounted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from frontinus.api.errors import InvalidXML
from frontinus.storage.pool import Pool, Server
from frontinus.storage.pools.base import FoundSource, SourceSpec
from frontinus.storage.pools.mounts import MountedFiles
from frontinus.storage.steps import MakeFolder, Need, RemoveFolder, Script, output, tell

HELPERS = {"nfs": "mount.nfs", "cifs": "mount.cifs", "glusterfs": "mount.glusterfs", "auto": "mount.nfs"}
FILESYSTEMS = {"glusterfs": "fuse", "auto": "nfs"}
"""The kernel's name of the file system, where it is another."""


class NetFs(MountedFiles):
    name = "netfs"
    needs = ("host", "dir", "path")
    source_formats = ("auto", "nfs", "glusterfs", "cifs")
    default_source_format = "auto"

    def check(self, pool: Pool) -> Iterator[str]:
        yield from super().check(pool)
        source = pool.origin
        if len(source.hosts) > 1:
            yield "<source> of a pool of type 'netfs': only one <host> is possible"
        yield from bad_hosts(pool)
        if source.protocol is not None and (
            source.format not in ("nfs", "auto") or not re.fullmatch(r"[0-9.]+", source.protocol)
        ):
            yield f"<protocol>: version '{source.protocol}' is not for format '{source.format}'"

    def mount_source(self, pool: Pool) -> str:
        source = pool.origin
        host, folder = source.hosts[0].name, source.dir or ""
        name = bracketed(host)
        return f"//{name}/{folder.strip('/')}" if source.format == "cifs" else f"{name}:{folder}"

    def mount_options(self, pool: Pool) -> list[str]:
        source = pool.origin
        more = ["direct-io-mode=1"] if source.format == "glusterfs" else []
        version = [f"nfsvers={source.protocol}"] if source.protocol else []
        guest = ["guest"] if source.format == "cifs" else []
        return [*super().mount_options(pool)[:3], *more, *guest, *version, *pool.mount_options]

    def needed(self, pool: Pool) -> Need:
        kind = pool.origin.format or "auto"
        return Need(("mount", HELPERS[kind]), FILESYSTEMS.get(kind, kind))

    def build(self, pool: Pool, flags: Sequence[str]) -> Script[None]:
        self._only(flags, ())
        return tell(MakeFolder(pool.path, pool.permissions))

    def delete(self, pool: Pool) -> Script[None]:
        """What the server has is the server's."""
        return tell(RemoveFolder(pool.path))

    def find_sources(self, spec: SourceSpec) -> Script[list[FoundSource]]:
        """The exports of an NFS server."""
        if not spec.hosts:
            raise InvalidXML("<source>: <host> is missing", element="source")
        host = spec.hosts[0].name
        if host.startswith("-"):
            raise InvalidXML("<host>: this is no name of a server", element="host")
        yield Need(("showmount",))
        text = yield from output("showmount", "--no-headers", "--exports", host)
        return [FoundSource(host=Server(name=host), dir=folder, format="nfs") for folder in exports(text)]


def bad_hosts(pool: Pool) -> Iterator[str]:
    """What cannot be the name of a server in an argument of mount."""
    for host in pool.origin.hosts:
        if not re.fullmatch(r"[\w.:\[\]-]+", host.name) or host.name.startswith("-"):
            yield "<host>: this is no name of a server"


def bracketed(name: str) -> str:
    """An address of IPv6 as it stands before a port or a path."""
    return f"[{name}]" if ":" in name and not name.startswith("[") else name


def exports(text: str) -> list[str]:
    """The folders that `showmount --no-headers --exports` lists: a path, blanks, who may mount it."""
    return [line.rsplit(None, 1)[0].strip() for line in text.splitlines() if line.startswith("/")]
