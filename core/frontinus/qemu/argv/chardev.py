"""The host's end of a character device on the command line, and as arguments of chardev-add."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.chardev import CharEnd, CharSource
from frontinus.domain.plan import Label, Listener, OpenFile
from frontinus.qemu.argv.context import Context, Props
from frontinus.qemu.argv.tls import tls_credentials

SCHEMA = "chardev-add/arg-type/backend"
OPTIONAL = frozenset({"qemu-vdagent", "dbus", "spicevmc", "spiceport"})
"""Backends of later releases, or of builds with SPICE."""


def chardev(ctx: Context, source: CharSource, name: str, *, alias: str, dev: str = "serial",
            channel: str = "vdagent", wait: bool = False, listen: bool = True) -> str:  # fmt: skip
    """Emit the -chardev of one source under the id `name`; returns the id.

    `alias`: the device's, which names files in messages. `dev`: what a host device is, "serial" or "parallel".
    `channel`: what spicevmc carries (vdagent, usbredir, smartcard). `wait`: QEMU waits for a client before the guest
    runs. `listen`: a listening unix socket is made by the engine and passed, so that it exists before QEMU does.
    """
    backend = dev if source.type == "dev" else BACKENDS.get(source.type, source.type)
    need_backend(ctx, backend)
    properties = PROPERTIES[source.type](ctx, source, name, alias)
    if source.type == "spicevmc":
        properties = {"name": channel}
    if source.listens:
        properties = {**properties, **_server(ctx, source.end, wait, listen)}
    ctx.props("chardev", {"backend": backend, "id": name, **properties, **_log(ctx, source, alias)})
    return name


def need_backend(ctx: Context, backend: str) -> None:
    """Raises Unsupported when this QEMU lacks a backend that newer ones have."""
    if backend in OPTIONAL and not ctx.caps.has_schema(f"{SCHEMA}/type={backend}"):
        raise Unsupported(f"character devices of type '{backend}' are not supported by this QEMU")


def fd_set(ctx: Context, path: str, purpose: str, *, append: bool = True, device: bool = False) -> str:
    """Have the engine open a file for QEMU; returns the path under which QEMU finds it."""
    fd = ctx.fd()
    ctx.need(OpenFile(path, fd, append=append, device=device))
    ctx.props("add-fd", {"set": fd, "fd": fd, "opaque": purpose})
    return f"/dev/fdset/{fd}"


def _log(ctx: Context, source: CharSource, alias: str) -> Props:
    if source.log_file is None:
        return {}
    path = fd_set(ctx, source.log_file, f"{alias}-log", append=source.log_append is not False)
    return {"logfile": path, "logappend": True}


def _nothing(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    return {}


def _device(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    ctx.need(Label(source.end.path or ""))
    return {"path": source.end.path}


def _pipe(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    """QEMU opens one pipe for each direction if both are there, else one for both."""
    for suffix in (".in", ".out", ""):
        ctx.need(Label(f"{source.end.path}{suffix}", optional=True))
    return {"path": source.end.path}


def _file(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    path = fd_set(ctx, source.end.path or "", f"{alias}-source", append=source.end.append is not False)
    return {"path": path, "append": True}


def _udp(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    to, at = source.udp("connect") or CharEnd(), source.udp("bind") or CharEnd()
    return {
        "host": to.host or "", "port": to.service or "0",
        "localaddr": at.host or "", "localport": at.service or "0",
    }  # fmt: skip


def _tcp(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    end = source.end
    encrypted = end.tls if end.tls is not None else "chardev" in ctx.host.tls_on
    credentials = tls_credentials(ctx, "chardev", f"obj{name}_tls0", server=source.listens) if encrypted else None
    return {
        "host": end.host, "port": end.service,
        "telnet": True if source.protocol in ("telnet", "telnets") else None,
        **_reconnect(ctx, end), "tls-creds": credentials,
    }  # fmt: skip


def _unix(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    path = source.end.path or ""
    if not source.listens and not path.startswith(f"{ctx.folder}/"):
        ctx.need(Label(path, shared=True, optional=bool(source.end.reconnect)))
    return {"path": path, **_reconnect(ctx, source.end)}


def _reconnect(ctx: Context, end: CharEnd) -> Props:
    """Seconds until the next try. QEMU counts in milliseconds where it can."""
    if not end.reconnect or not end.reconnect_timeout:
        return {}
    if ctx.caps.has_schema(f"{SCHEMA}/type=socket/data/reconnect-ms"):
        return {"reconnect-ms": end.reconnect_timeout * 1000}
    return {"reconnect": end.reconnect_timeout}


def _server(ctx: Context, end: CharEnd, wait: bool, listen: bool) -> Props:
    switches = {"server": True, "wait": None if wait else False}
    if end.path is None or not listen:
        return switches
    fd = ctx.fd()
    ctx.need(Listener(end.path, fd))
    return {"path": None, "fd": str(fd), **switches}


def _named(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    return {"name": source.end.channel}


def _vdagent(ctx: Context, source: CharSource, name: str, alias: str) -> Props:
    end = source.end
    mouse = None if end.mouse is None else end.mouse == "client"
    return {"name": "vdagent", "clipboard": end.clipboard, "mouse": mouse}


BACKENDS = {"tcp": "socket", "unix": "socket"}
PROPERTIES: Mapping[str, Callable[[Context, CharSource, str, str], Props]] = {
    "null": _nothing, "vc": _nothing, "pty": _nothing, "stdio": _nothing, "spicevmc": _nothing, "dev": _device,
    "pipe": _pipe, "file": _file, "udp": _udp, "tcp": _tcp, "unix": _unix, "spiceport": _named, "dbus": _named,
    "qemu-vdagent": _vdagent,
}  # fmt: skip


def chardev_add(properties: Props) -> dict[str, object]:
    """The arguments of chardev-add for what -chardev says."""
    kind = str(properties["backend"])
    rest = {key: value for key, value in properties.items() if key not in ("backend", "id")}
    data: dict[str, object] = {key: rest.pop(key) for key in ("logfile", "logappend") if key in rest}
    if kind == "socket":
        data["addr"] = _socket_address(rest)
        data |= {"server": False, **rest}  # the command would listen where the option connects
    elif kind == "udp":
        data["remote"] = _inet(rest["host"], rest["port"])
        data["local"] = _inet(rest["localaddr"], rest["localport"])
    elif kind in FIRST_KEYS:
        data |= {FIRST_KEYS[kind].get(key, key): value for key, value in rest.items()}
        if kind == "qemu-vdagent":
            data.pop("name", None)
    return {"id": properties["id"], "backend": {"type": kind, "data": data}}


FIRST_KEYS: Mapping[str, Mapping[str, str]] = {
    "file": {"path": "out"}, "serial": {"path": "device"}, "parallel": {"path": "device"}, "pipe": {"path": "device"},
    "spicevmc": {"name": "type"}, "spiceport": {"name": "fqdn"}, "dbus": {}, "qemu-vdagent": {},
}  # fmt: skip
"""How the command names what the option calls otherwise."""


def _inet(host: object, port: object) -> dict[str, object]:
    return {"type": "inet", "data": {"host": host, "port": port}}


def _socket_address(rest: dict[str, object]) -> dict[str, object]:
    """Take the address out of a socket's properties."""
    if "fd" in rest:
        return {"type": "fd", "data": {"str": rest.pop("fd")}}
    if "path" in rest:
        return {"type": "unix", "data": {"path": rest.pop("path")}}
    return _inet(rest.pop("host"), rest.pop("port"))
