"""What work on the block graph of a running guest takes, as QMP steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.devices.block.disk import BackingStore, Disk, Mirror
from frontinus.domain.devices.block.image import Image
from frontinus.domain.guest import Guest
from frontinus.domain.host import HostFacts
from frontinus.domain.plan import DevicePlan, Label, Listener, Resource, Step
from frontinus.domain.snapshots.variables import keeps_inside
from frontinus.ports.blocks import CopyOptions, KeyChange, Mark, Marks, Overlaid, Saved, Service, StateVerb
from frontinus.qemu import hotplug
from frontinus.qemu.argv.block import disks as disk_family
from frontinus.qemu.argv.block import fdgroups
from frontinus.qemu.argv.block.blockdev import Access, below, emit_image, encryption_secret, format_node, storage_node
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.machine.firmware import STORE
from frontinus.qemu.argv.secrets import Sealer, SecretUse, emit_secret, placeholder
from frontinus.qemu.argv.tls import tls_credentials

STEM = "frontinus-"
TLS = "objbackup_tls0"
DERIVING_MS = 500
"""CPU time that deriving a key from a new passphrase shall take. QEMU's own choice is 2000, but the guest's disks stand still for
each derivation, and it takes four to six of them to rotate a slot."""
STALL_SECONDS = 120.0
ADDED, ERASED = f"{STEM}added-secret0", f"{STEM}erased-secret0"
"""Passphrases that a disk gets and loses, while it does."""
KEEP = {"auto-finalize": True, "auto-dismiss": False}
"""A job that has ended stays to be asked for, also by an engine that was not there when it did."""

STATE_SECONDS = 600.0
"""For the memory of a large guest to be written or read."""

WAIT = {"auto-finalize": False, "auto-dismiss": False}
"""A job that changes what headers say about lower layers waits until what it copied is on disk."""

Action = dict[str, object]


def node_of(layer: BackingStore | int | None) -> str:
    """The format's node of a layer."""
    index = layer if isinstance(layer, int) else layer.index if layer is not None else 0
    return f"{STEM}{index or 0}-format"


def storage_of(layer: int) -> str:
    """The node of a layer's file."""
    return f"{STEM}{layer}-storage"


def top_node(disk: Disk) -> str:
    return node_of(disk.source.index if disk.source is not None else 0)


def layer_of(node: str) -> int | None:
    """The index of the layer that a node of ours belongs to."""
    number = node.removeprefix(STEM).partition("-")[0]
    return int(number) if node.startswith(STEM) and number.isdigit() else None


@dataclass(frozen=True)
class QemuBlocks:
    """BlockPlanner on QEMU."""

    guest: Guest
    caps: Capabilities
    host: HostFacts
    seal: Sealer = placeholder

    # --- parts

    def _context(self, name: str) -> Context:
        return hotplug.context(self.guest, name, self.caps, self.host, self.seal)

    def _need(self, *commands: str) -> None:
        """Raises Unsupported for a command that this QEMU lacks."""
        for command in commands:
            if not self.caps.has_command(command):
                raise Unsupported(f"this QEMU has no '{command}'")

    def _open(self, ctx: Context, image: Image, access: Access, backing: str | None) -> list[Step]:
        """Steps that open one layer on a node that is there, or on nothing."""
        emit_image(ctx, replace(image, backing=None, terminated=True, read_only=False), access)
        steps = [hotplug.step(ctx, item) for item in ctx.items]
        ctx.items.clear()
        if backing is not None:
            last = steps[-1]
            steps[-1] = replace(last, arguments={**last.arguments, "backing": backing})
        return steps

    @staticmethod
    def _writable(layer: BackingStore | None) -> tuple[Resource, ...]:
        """The guest's user must be able to write what was only read until now."""
        source = layer.source if layer is not None else None
        path = source.local_path if source is not None and source.fdgroup is None else None
        return (Label(path),) if path else ()

    def _variables(self) -> list[str]:
        """The node of the UEFI variables, where a snapshot can be inside their image."""
        return [f"{STORE}-format"] if keeps_inside(self.guest) else []

    # --- snapshots

    def overlay(self, disks: Sequence[Overlaid], internal: Sequence[Disk], name: str) -> DevicePlan:
        self._need("transaction", "blockdev-snapshot" if disks else "blockdev-snapshot-internal-sync")
        ctx = self._context("snapshot")
        steps: list[Step] = []
        actions: list[Action] = []
        for one in disks:
            image = one.new.image()
            assert image is not None
            steps += self._open(ctx, image, disk_family.access(one.new), None)
            top = format_node(image)
            actions.append(_action("blockdev-snapshot", node=top_node(one.old), overlay=top))
            actions += [_add_bitmap(top, bitmap) for bitmap in one.bitmaps]
        for node in (*map(top_node, internal), *(self._variables() if internal else ())):
            actions.append(_action("blockdev-snapshot-internal-sync", device=node, name=name))
        return DevicePlan("", tuple(ctx.resources), (*steps, Step("transaction", {"actions": actions})))

    def state(self, verb: StateVerb, job: str, name: str, disks: Sequence[Disk]) -> DevicePlan:
        command = f"snapshot-{verb}"
        if not self.caps.has_command(command):
            return DevicePlan("", (), (_by_hand(verb, name),))
        nodes = [*map(top_node, disks), *self._variables()]
        arguments: dict[str, object] = {"job-id": job, "tag": name, "devices": nodes}
        if verb != "delete":
            arguments["vmstate"] = nodes[0]
        return DevicePlan("", (), (Step(command, arguments),))

    # --- jobs

    def copy(self, job: str, disk: Disk, mirror: Mirror, options: CopyOptions) -> DevicePlan:
        self._need("blockdev-mirror")
        image = mirror.image()
        assert image is not None
        ctx = self._context(job)
        store = disk.backing_store if options.shallow else None
        backing = node_of(store) if store is not None and store.type is not None else None
        steps = self._open(ctx, image, disk_family.access(disk), backing if image.is_backed else None)
        arguments = {
            "job-id": job, "device": top_node(disk), "target": format_node(image),
            "sync": "top" if options.shallow else "full", "speed": options.bandwidth or None,
            "granularity": options.granularity or None, "buf-size": options.buffer or None,
            "copy-mode": "write-blocking" if options.synchronous else None, **KEEP,
        }  # fmt: skip
        return DevicePlan(disk.alias or "", tuple(ctx.resources), (*steps, _step("blockdev-mirror", arguments)))

    def commit(self, job: str, disk: Disk, top: BackingStore, base: BackingStore, bandwidth: int,
               backing_name: str | None) -> DevicePlan:  # fmt: skip
        self._need("block-commit")
        arguments = {
            "job-id": job, "device": top_node(disk), "top-node": node_of(top), "base-node": node_of(base),
            "speed": bandwidth or None, "backing-file": backing_name,
            **(KEEP if top.index == (disk.source.index if disk.source else None) else WAIT),
        }  # fmt: skip
        above = _above(disk, top)
        resources = (*self._writable(base), *(self._writable(above) if above is not None else ()))
        return DevicePlan(disk.alias or "", resources, (_step("block-commit", arguments),))

    def pull(self, job: str, disk: Disk, base: BackingStore | None, bandwidth: int,
             backing_name: str | None) -> DevicePlan:  # fmt: skip
        self._need("block-stream")
        arguments = {
            "job-id": job, "device": top_node(disk), "base-node": node_of(base) if base is not None else None,
            "speed": bandwidth or None, "backing-file": backing_name, **WAIT,
        }  # fmt: skip
        return _plan(disk, _step("block-stream", arguments))

    # --- bitmaps

    def mark(self, marks: Marks) -> DevicePlan:
        self._need("block-dirty-bitmap-add", "block-dirty-bitmap-remove")
        return DevicePlan("", (), (Step("transaction", {"actions": _mark_actions(marks)}),))

    def measure(self, disk: Disk, name: str, since: Sequence[Mark]) -> tuple[DevicePlan, str]:
        self._need("block-dirty-bitmap-merge")
        own = f"{STEM}measure-{name}"
        actions = _merged(top_node(disk), own, since)
        return DevicePlan("", (), (Step("transaction", {"actions": actions}),)), own

    # --- backups

    def backup(self, disks: Sequence[Saved], marks: Marks, service: Service | None) -> DevicePlan:
        self._need("blockdev-backup", "transaction")
        ctx = self._context("backup")
        steps: list[Step] = []
        actions: list[Action] = _mark_actions(marks)
        for one in disks:
            image = one.layer.image()
            assert image is not None
            steps += self._open(ctx, image, below(Access()), top_node(one.disk) if service else None)
            if one.incremental:
                actions += _merged(top_node(one.disk), one.mark, one.since)
            actions.append(self._backup_action(one, pull=service is not None))
        served = self._serve(ctx, service) if service is not None else ()
        exports = [_export(one) for one in disks] if service is not None else []
        at_once = Step("transaction", {"actions": actions})
        return DevicePlan("backup", tuple(ctx.resources), (*steps, *served, at_once, *exports))

    def _backup_action(self, one: Saved, *, pull: bool) -> Action:
        target = node_of(one.layer)
        arguments: dict[str, object] = {"device": top_node(one.disk), "job-id": one.job, "target": target, **KEEP}
        if pull:
            return _action("blockdev-backup", **arguments, sync="none")
        if one.incremental:
            return _action("blockdev-backup", **arguments, sync="incremental", bitmap=one.mark)
        return _action("blockdev-backup", **arguments, sync="full")

    def _serve(self, ctx: Context, service: Service) -> tuple[Step, ...]:
        """Credentials, and the server."""
        self._need("nbd-server-start", "block-export-add")
        steps = []
        if service.tls:
            tls_credentials(ctx, "backup", TLS, server=True)
            steps += [hotplug.step(ctx, item) for item in ctx.items]
            ctx.items.clear()
        address, fds = self._address(ctx, service)
        arguments = {"addr": address, "tls-creds": TLS if service.tls else None}
        steps.append(replace(_step("nbd-server-start", arguments), undo=("nbd-server-stop", {}), fds=fds))
        return tuple(steps)

    def _address(self, ctx: Context, service: Service) -> tuple[dict[str, object], tuple[tuple[str, int], ...]]:
        """A unix socket is made by the engine, which may where the guest's user may not."""
        if service.path is None:
            return {"type": "inet", "data": {"host": service.host, "port": str(service.port)}}, ()
        number = ctx.fd()
        ctx.need(Listener(service.path, number))
        return {"type": "fd", "data": {"str": f"backup{number}"}}, ((f"backup{number}", number),)

    def stop_serving(self, disks: Sequence[Saved], service: Service | None) -> Sequence[DevicePlan]:
        if service is None:
            return ()
        steps = [Step("block-export-del", {"id": one.job, "mode": "hard"}) for one in disks]
        steps.append(Step("nbd-server-stop", {}))
        if service.tls:
            steps += [Step("object-del", {"id": name}) for name in (TLS, f"{TLS}-secret0")]
        return [DevicePlan("backup", (), (step,)) for step in steps]

    def end_backup(self, disks: Sequence[Saved]) -> Sequence[DevicePlan]:
        removals = [Step("block-dirty-bitmap-remove", {"node": top_node(one.disk), "name": one.mark})
                    for one in disks if one.incremental]  # fmt: skip
        closing = [plan for one in disks for plan in self.close([one.layer])]
        return [*(DevicePlan("backup", (), (step,)) for step in removals), *closing]

    # --- passphrases

    def change_key(self, job: str, disk: Disk, change: KeyChange) -> DevicePlan:
        command = next((name for name in ("blockdev-amend", "x-blockdev-amend") if self.caps.has_command(name)), None)
        if command is None:
            raise Unsupported("this QEMU cannot change the passphrases of a disk that is open")
        added = change.verb == "add"
        secret = ADDED if added else ERASED
        steps = self._key(secret, change)
        wanted: dict[str, object] = (
            {"state": "active", "new-secret": secret} if added else {"state": "inactive", "old-secret": secret}
        )
        if added:
            wanted["iter-time"] = DERIVING_MS
        options: dict[str, object] = {"driver": "luks", **wanted}
        if (disk.format or "raw") != "raw":
            options = {"driver": disk.format, "encrypt": {"format": "luks", **wanted}}
        arguments = {"job-id": job, "node-name": top_node(disk), "options": options}
        return _plan(disk, *steps, Step(command, arguments, seconds=STALL_SECONDS))

    def open_by(self, disk: Disk, change: KeyChange) -> DevicePlan:
        image = disk.image()
        assert image is not None
        name = encryption_secret(image)
        return _plan(disk, Step("object-del", {"id": name}), *self._key(name, change))

    def end_keys(self) -> Sequence[DevicePlan]:
        return [DevicePlan("", (), (Step("object-del", {"id": name}),)) for name in (ADDED, ERASED)]

    def _key(self, name: str, change: KeyChange) -> list[Step]:
        ctx = self._context("secret")
        emit_secret(ctx, name, SecretUse("volume", change.uuid, change.usage))
        return [hotplug.step(ctx, item) for item in ctx.items]

    def close(self, layers: Sequence[BackingStore]) -> Sequence[DevicePlan]:
        plans = []
        for layer in layers:
            image = layer.image()
            if image is None:
                continue
            for node in (
                format_node(image),
                f"{image.name}-slice" if image.source.slices else None,
                storage_node(image),
            ):
                if node is not None:
                    plans.append(DevicePlan("", (), (Step("blockdev-del", {"node-name": node}),)))
            if image.source.fdgroup is not None:
                plans.append(DevicePlan("", (), (Step("remove-fd", {"fdset-id": fdgroups.number_of(image)}),)))
        return plans


def _by_hand(verb: StateVerb, name: str) -> Step:
    """Before QEMU 6.0 only the human monitor could: on every image that is written, and while it does nothing else."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    words = {"save": "savevm", "load": "loadvm", "delete": "delvm"}
    return Step("human-monitor-command", {"command-line": f'{words[verb]} "{quoted}"'}, seconds=STATE_SECONDS)


def _above(disk: Disk, layer: BackingStore) -> BackingStore | None:
    """The layer whose header names `layer`; None when that is the disk's top."""
    store, previous = disk.backing_store, None
    while store is not None and store.type is not None:
        if store.index == layer.index:
            return previous
        store, previous = store.backing_store, store
    return None


def _action(kind: str, **data: object) -> Action:
    return {"type": kind, "data": data}


def _add_bitmap(node: str, name: str, *, recording: bool = True) -> Action:
    return _action("block-dirty-bitmap-add", node=node, name=name, persistent=True,
                   **({} if recording else {"disabled": True}))  # fmt: skip


def _mark_actions(marks: Marks) -> list[Action]:
    actions: list[Action] = []
    for one in marks.joined:
        node, name = node_of(one.mark[0]), one.mark[1]
        actions += [_add_bitmap(node, name, recording=one.recording)] if one.new else []
        actions.append(_join(node, name, one.sources))
    return [
        *actions,
        *(_action("block-dirty-bitmap-enable", node=node_of(index), name=name) for index, name in marks.enable),
        *(_action("block-dirty-bitmap-remove", node=node_of(index), name=name) for index, name in marks.remove),
        *(_add_bitmap(node_of(index), name) for index, name in marks.add),
    ]


def _join(node: str, name: str, sources: Sequence[Mark]) -> Action:
    known = [{"node": node_of(index), "name": bitmap} for index, bitmap in sources]
    return _action("block-dirty-bitmap-merge", node=node, target=name, bitmaps=known)


def _merged(node: str, name: str, sources: Sequence[Mark]) -> list[Action]:
    """A bitmap that does not record and is not kept, of all that others have recorded."""
    made = _action("block-dirty-bitmap-add", node=node, name=name, persistent=False, disabled=True)
    return [made, _join(node, name, sources)]


def _export(one: Saved) -> Step:
    arguments = {
        "type": "nbd", "id": one.job, "node-name": node_of(one.layer), "name": one.export, "writable": False,
        "bitmaps": [one.mark] if one.incremental else None,
    }  # fmt: skip
    return replace(_step("block-export-add", arguments), undo=("block-export-del", {"id": one.job, "mode": "hard"}))


def _step(command: str, arguments: Mapping[str, object]) -> Step:
    return Step(command, {name: value for name, value in arguments.items() if value is not None})


def _plan(disk: Disk, *steps: Step) -> DevicePlan:
    return DevicePlan(disk.alias or "", (), steps)
