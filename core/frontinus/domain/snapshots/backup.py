"""The <domainbackup> document: which disks are copied where (push), or served from where (pull)."""

from __future__ import annotations

from frontinus.api.errors import InvalidXML
from frontinus.domain.devices.block.source import Source
from frontinus.domain.guest import Guest
from frontinus.domain.snapshots.document import Absolute, parse, refuse_doubles, refuse_unknown
from frontinus.domain.snapshots.snapshot import find_disk
from frontinus.xml import Model, many, one, xml
from frontinus.xml.codecs import Int, YesNo, integer, one_of

NBD_PORT = 10809


class BackupServer(Model, tag="server"):
    """Where a pull backup is served by NBD."""

    transport: str | None = xml("@transport", one_of("tcp", "unix"))
    tls: bool | None = xml("@tls", YesNo)
    name: str | None = xml("@name")
    port: int | None = xml("@port", integer(0, 65535))
    socket: str | None = xml("@socket", Absolute)


class BackupDisk(Model, tag="disk"):
    """One disk of a backup. `target`: where a push writes; `scratch`: where a pull keeps what the guest overwrites."""

    name: str = xml("@name", required=True)
    backup: str | None = xml("@backup", one_of("yes", "no"))
    state: str | None = xml("@state")
    type: str | None = xml("@type", one_of("file", "block"))
    mode: str | None = xml("@backupmode", one_of("full", "incremental"))
    incremental: str | None = xml("@incremental")
    export_name: str | None = xml("@exportname")
    export_bitmap: str | None = xml("@exportbitmap")
    index: int | None = xml("@index", Int)
    format: str | None = xml("driver/@type")
    target: Source | None = one("target", Source)
    scratch: Source | None = one("scratch", Source)

    @property
    def store(self) -> Source | None:
        """The target or the scratch."""
        return self.target or self.scratch


class DomainBackup(Model, tag="domainbackup"):
    """One backup."""

    mode: str | None = xml("@mode", one_of("push", "pull"))
    incremental: str | None = xml("incremental")
    server: BackupServer | None = one("server", BackupServer)
    disks: list[BackupDisk] = many("disks/disk", BackupDisk)

    @property
    def is_pull(self) -> bool:
        return self.mode == "pull"

    def chosen(self) -> list[BackupDisk]:
        """The disks that are backed up."""
        return [disk for disk in self.disks if disk.backup != "no"]


def parse_backup(text: str | bytes, *, validate: bool = False) -> DomainBackup:
    """Read a document. Raises InvalidXML."""
    found = parse(DomainBackup, text)
    if validate:
        refuse_unknown(found)
    found.mode = found.mode or "push"
    _check_server(found)
    for disk in found.disks:
        _check_disk(found, disk)
    refuse_doubles((disk.name for disk in found.disks), "backup")
    return found


def _check_server(found: DomainBackup) -> None:
    server = found.server
    if server is None:
        return
    if not found.is_pull:
        raise InvalidXML("<server> is for a backup of mode 'pull'", element="server")
    server.transport = server.transport or "tcp"
    if server.transport == "unix" and (not server.socket or server.name or server.port):
        raise InvalidXML("<server>: transport 'unix' takes a socket and nothing else", element="server")
    if server.transport == "tcp" and (server.socket or not server.name):
        raise InvalidXML("<server>: transport 'tcp' takes a name and perhaps a port", element="server")


def _check_disk(found: DomainBackup, disk: BackupDisk) -> None:
    wrong = disk.target if found.is_pull else disk.scratch
    if wrong is not None:
        raise InvalidXML(f"disk '{disk.name}': <{'target' if found.is_pull else 'scratch'}> is not for mode "
                         f"'{found.mode}'", element="disk")  # fmt: skip
    if not found.is_pull and (disk.export_name or disk.export_bitmap):
        raise InvalidXML(f"disk '{disk.name}': a push backup exports nothing", element="disk")
    if found.is_pull and disk.format not in (None, "qcow2"):
        raise InvalidXML(f"disk '{disk.name}': a scratch image is qcow2, not '{disk.format}'", element="driver")
    if disk.mode == "full" and disk.incremental:
        raise InvalidXML(f"disk '{disk.name}': a full backup starts at no checkpoint", element="disk")
    if disk.incremental:
        disk.mode = "incremental"
    if disk.backup == "no":
        return
    disk.backup, disk.type = "yes", disk.type or "file"
    store = disk.store
    if store is not None:
        store.complete(disk.type)
        if store.reached_path is None:
            raise InvalidXML(f"disk '{disk.name}': no path for type '{disk.type}'", element="disk")


def align_backup(backup: DomainBackup, guest: Guest, suffix: str) -> None:
    """Have the document say what happens to each disk. With no disk named, all that hold something; else those alone.

    Targets that are not said lie beside the disk's file, `suffix` (or the checkpoint's name) appended. Raises InvalidXML.
    """
    said = {find_disk(guest, disk.name).target: disk for disk in backup.disks}
    for target, mine in said.items():
        mine.name = target or ""
    aligned = list(said.values())
    for disk in guest.devices.disks:
        if disk.target not in said:
            wanted = not said and not disk.is_empty
            aligned.append(BackupDisk(name=disk.target or "", backup="yes" if wanted else "no",
                                      type="file" if wanted else None))  # fmt: skip
    backup.disks = aligned
    for mine in backup.chosen():
        _complete_mode(backup, mine)
        if mine.store is None:
            _place(backup, mine, guest, suffix)


def _complete_mode(backup: DomainBackup, mine: BackupDisk) -> None:
    mine.mode = mine.mode or ("incremental" if backup.incremental else "full")
    if mine.mode == "incremental":
        mine.incremental = mine.incremental or backup.incremental
        if not mine.incremental:
            raise InvalidXML(f"disk '{mine.name}': incremental since which checkpoint?", element="disk")


def _place(backup: DomainBackup, mine: BackupDisk, guest: Guest, suffix: str) -> None:
    path = find_disk(guest, mine.name).source_path
    if mine.type != "file" or path is None or not path.startswith("/"):
        raise InvalidXML(f"disk '{mine.name}': say where it shall go", element="disk")
    place = Source(file=f"{path}.{suffix}")
    if backup.is_pull:
        mine.scratch = place
    else:
        mine.target = place
