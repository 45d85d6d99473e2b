"""Command lines of qemu-img: how images are made, converted, resized and given new keys.

A passphrase never stands in an argument: an option names a file, `{key:ID}`, in whose place qemu-img gets a pipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.api.storage import WipeAlgorithm
from frontinus.domain.devices.block.credentials import Encryption
from frontinus.storage.steps import Image, Step
from frontinus.storage.volume import Volume

KIB = 1024
KEY_FILE = "{{key:{}}}"
CREATABLE = frozenset({"raw", "bochs", "cloop", "dmg", "iso", "qcow", "qcow2", "qed", "vdi", "vmdk", "vpc", "vhdx", "luks", "cow",
                       "none", "vhd"})  # fmt: skip
DRIVERS = {"vhd": "vhdx", "ploop": "parallels", "none": "raw", "fat": "raw", "iso": "raw", "": "raw"}
"""QEMU's name of a format where it is another."""
Preallocation = Literal["none", "metadata", "falloc", "full"]
"""What of a new image has its place from the beginning: nothing; its tables; also room for all data; that, written."""
PREALLOCATED: Mapping[Preallocation, frozenset[str]] = {
    "none": CREATABLE,
    "metadata": frozenset({"qcow2"}),
    "falloc": frozenset({"qcow2", "raw", "luks"}),
    "full": frozenset({"qcow2", "raw", "luks"}),
}
"""Formats by what can be preallocated of them."""
UNMEASURED = "Unable to get accurate CPU usage"
"""QEMU measures how many rounds of a key's derivation take a second, and gives up where a busy machine disturbs it."""
TRIES = 4
"""Then."""
DERIVING_MS = 2000
"""CPU time that deriving a key from a new passphrase shall take: QEMU's own choice."""
BACKED = frozenset({"qcow", "qcow2", "qed", "vmdk", "cow"})


@dataclass(frozen=True)
class Key:
    """A passphrase: the object's id, and the secret that holds it."""

    id: str
    uuid: str | None
    usage: str | None

    @property
    def file(self) -> str:
        return KEY_FILE.format(self.id)


@dataclass(frozen=True)
class Remote:
    """An image on a server. `words`: options of QEMU's driver for it; `logins`: secrets by the id that the words name."""

    words: tuple[str, ...]
    logins: Mapping[str, tuple[str, str | None, str | None]] = field(default_factory=dict)

    def graph(self, kind: str) -> str:
        """As --image-opts takes it."""
        return ",".join((f"driver={kind}", *(f"file.{word}" for word in self.words)))

    def objects(self) -> list[str]:
        """The secrets that it logs in with."""
        return [word for name in self.logins for word in ("--object", f"secret,id={name},file={KEY_FILE.format(name)}")]


def driver(volume: Volume) -> str:
    """QEMU's driver of a volume: raw content that is encrypted by LUKS is of the format luks."""
    kind = DRIVERS.get(volume.format, volume.format)
    return "luks" if kind == "raw" and is_luks(volume.encryption) else kind


def is_luks(encryption: Encryption | None) -> bool:
    return encryption is not None and encryption.format == "luks"


def key_of(volume: Volume, stem: str | None = None) -> Key | None:
    """The key of an encrypted volume."""
    encryption = volume.encryption
    if encryption is None:
        return None
    if encryption.format != "luks":
        raise Unsupported(f"<encryption>: format '{encryption.format}' is not supported for volumes, only luks")
    name = f"{object_id(stem or volume.name or 'volume')}_encrypt0"
    if not encryption.secrets:  # then it is the one for a volume at this place
        return Key(name, None, volume.path)
    return Key(name, encryption.secrets[0].uuid, encryption.secrets[0].usage)


def object_id(name: str) -> str:
    """A name as QEMU takes it for an object."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return safe if safe[:1].isalpha() else f"v{safe}"


def create(volume: Volume, path: str, *, preallocate: Preallocation = "none") -> Image:
    """Make an empty image. Raises Unsupported, InvalidXML."""
    kind = driver(volume)
    _check(volume, kind, preallocate)
    key = key_of(volume)
    backing = volume.backing if volume.backing is not None and volume.backing.path else None
    argv = ["create", "-f", kind]
    argv += ["-b", plain(backing.path or "")] if backing else []
    argv += _objects([key])
    options = _options(volume, kind, key, preallocate=preallocate, backing=backing.format if backing else None)
    argv += ["-o", ",".join(options)] if options else []
    argv.append(plain(path))
    if volume.capacity is not None:
        argv.append(f"{-(-volume.capacity // KIB)}K")
    reads = (backing.path or "",) if backing else ()
    return Image(tuple(argv), _keys([key]), reads=reads, writes=(path,))


def convert(
    volume: Volume, path: str, source: Volume, source_path: str, *, preallocate: Preallocation = "none"
) -> list[Image]:
    """Fill a new image from another: one command, or two where keys are at work. Raises Unsupported, InvalidXML."""
    kind, from_kind = driver(volume), driver(source)
    key, source_key = key_of(volume), key_of(source)
    if key is None and source_key is None:
        _check(volume, kind, preallocate)
        options = _options(volume, kind, None, preallocate=preallocate, backing=None)
        argv = ["convert", "-f", from_kind, "-O", kind]
        argv += ["-o", ",".join(options)] if options else []
        return [Image((*argv, plain(source_path), plain(path)), reads=(source_path,), writes=(path,))]
    keys = [key, source_key if source_key != key else None]
    argv = ["convert", "--image-opts", "-n", "--target-image-opts", *_objects(keys),
            _graph(from_kind, source_path, source_key), _graph(kind, path, key)]  # fmt: skip
    filling = Image(tuple(argv), _keys(keys), reads=(source_path,), writes=(path,))
    return [create(volume, path, preallocate=preallocate), filling]


def fetch(
    volume: Volume, path: str, source: Volume, place: Remote, *, preallocate: Preallocation = "none"
) -> list[Image]:
    """Fill a new image of this host from one of a server. Raises Unsupported, InvalidXML."""
    kind, key = driver(volume), key_of(volume)
    seen = ["--image-opts", *place.objects()]
    if key is None:
        _check(volume, kind, preallocate)
        options = _options(volume, kind, None, preallocate=preallocate, backing=None)
        argv = ["convert", *seen, "-O", kind, *(["-o", ",".join(options)] if options else [])]
        filling = Image((*argv, place.graph(driver(source)), plain(path)), writes=(path,))
        return [replace(filling, logins=place.logins, network=True)]
    words = ["convert", *seen, "-n", "--target-image-opts", *_objects([key])]
    filling = Image((*words, place.graph(driver(source)), _graph(kind, path, key)), _keys([key]), writes=(path,))
    return [create(volume, path, preallocate=preallocate), replace(filling, logins=place.logins, network=True)]


def push(place: Remote, source: Volume, origin: Remote | None) -> list[Image]:
    """Fill a new raw image of a server, whose room is there, from a volume of this host, or of `origin`."""
    key = key_of(source)
    graph = _graph(driver(source), source.path, key) if origin is None else origin.graph(driver(source))
    logins = {**(origin.logins if origin else {}), **place.logins}
    objects = [*_objects([key]), *(origin.objects() if origin else []), *place.objects()]
    argv = (
        "convert",
        "--image-opts",
        "-n",
        "--target-is-zero",
        "--target-image-opts",
        *objects,
        graph,
        place.graph("raw"),
    )
    reads = () if origin else (source.path,)
    return [Image(argv, _keys([key]), logins=logins, network=True, reads=reads)]


def erase(place: Remote, size: int, algorithm: WipeAlgorithm) -> Image:
    """Overwrite a raw image of a server with zeros, or have the server forget its content. Raises Unsupported.

    What is written comes from QEMU's driver of nothing; with no stretch of zeros too short to be written (-S 0), all of it is.
    """
    ways: Mapping[str, tuple[str, ...]] = {"zero": ("-S", "0"), "trim": ()}
    if algorithm not in ways:
        raise Unsupported(f"what a server has is wiped by zero or trim, not by {algorithm}")
    zeros = f"driver=null-co,read-zeroes=on,size={size}"
    target = place.graph("raw") + (",discard=unmap" if algorithm == "trim" else "")
    argv = ("convert", "--image-opts", "-n", *ways[algorithm], "--target-image-opts", *place.objects(), zeros, target)
    return Image(argv, logins=place.logins, network=True)


def seeing(steps: Iterable[Step], below: Sequence[str]) -> list[Step]:
    """The steps, with what lies below their images to be read as well."""
    return [replace(step, reads=(*step.reads, *below)) if isinstance(step, Image) else step for step in steps]


def same_bytes(volume: Volume, source: Volume) -> list[str]:
    """Why a new volume cannot share the very bytes of another's image; empty where it can."""
    place, other = volume.place, source.place
    pairs = ((place.compat, other.compat), (place.cluster_size, other.cluster_size))
    switches = ((place.lazy_refcounts, other.lazy_refcounts), (place.extended_l2, other.extended_l2))
    differ = any(mine is not None and mine != its for mine, its in pairs) or any(
        mine and not its for mine, its in switches
    )
    reasons = {
        f"it is of format {driver(source)}, not {driver(volume)}": driver(source) != driver(volume),
        "it has a backing store": source.backing is not None or volume.backing is not None,
        "its image has other features": differ,
        "it is encrypted otherwise": note_of(volume.encryption) != note_of(source.encryption),
        "it is larger": (volume.capacity or 0) < (source.capacity or 0),
    }
    return [reason for reason, holds in reasons.items() if holds]


def note_of(encryption: Encryption | None) -> str | None:
    """Which secret opens a volume, as it is noted beside it."""
    if encryption is None or not encryption.secrets:
        return None
    secret = encryption.secrets[0]
    return f"uuid:{secret.uuid}" if secret.uuid else f"usage:{secret.usage}"


def resize(volume: Volume, size: int, *, path: str = "", preallocate: bool = False, shrink: bool = False) -> Image:
    """Change the size of an image; `path`: of a volume that is not in its place yet."""
    kind, key, path = driver(volume), key_of(volume), path or volume.path
    argv = ["resize", *(["--shrink"] if shrink else []), *(["--preallocation=falloc"] if preallocate else [])]
    if key is None:
        return Image((*argv, "-f", kind, "--", plain(path), str(size)), writes=(path,))
    argv += [*_objects([key]), "--image-opts", _graph(kind, path, key), str(size)]
    return Image(tuple(argv), _keys([key]), writes=(path,))


def repair(volume: Volume) -> Image:
    """Give back what a change that was broken off had reserved in an image."""
    kind, key = driver(volume), key_of(volume)
    if key is None:
        return Image(("check", "-q", "-r", "leaks", "-f", kind, "--", plain(volume.path)), writes=(volume.path,))
    argv = ("check", "-q", "-r", "leaks", *_objects([key]), "--image-opts", _graph(kind, volume.path, key))
    return Image(argv, _keys([key]), writes=(volume.path,))


def add_key(volume: Volume, new: Key, *, opened_by: Key) -> Image:
    """Give an encrypted image one more passphrase, in the first free slot."""
    return _amend(volume, {"state": "active", "new-secret": new.id, "iter-time": str(DERIVING_MS)}, opened_by, new)


def erase_key(volume: Volume, old: Key, *, opened_by: Key) -> Image:
    """Take a passphrase from an encrypted image, which is opened by another."""
    return _amend(volume, {"state": "inactive", "old-secret": old.id}, opened_by, old)


def _amend(volume: Volume, options: Mapping[str, str], opened_by: Key, other: Key) -> Image:
    kind = driver(volume)
    stem = "" if kind == "luks" else "encrypt."
    words = [f"{stem}{name}={value}" for name, value in options.items()]
    keys = [opened_by, other]
    argv = ("amend", *_objects(keys), "-o", ",".join(words), "--image-opts", _graph(kind, volume.path, opened_by))
    return Image(argv, _keys(keys), writes=(volume.path,))


def _options(
    volume: Volume, kind: str, key: Key | None, *, preallocate: Preallocation, backing: str | None
) -> list[str]:
    """The options of -o, in the order that users of virsh know from their logs."""
    place, options = volume.place, []
    allocated = [f"preallocation={preallocate}"] if preallocate != "none" else []
    if kind == "luks" and key is not None:
        return [f"key-secret={key.id}", *cipher_options(volume.encryption, ""), *allocated]
    if backing:
        options.append(f"backing_fmt={DRIVERS.get(backing, backing)}")
    if key is not None:
        options += [
            "encrypt.format=luks",
            f"encrypt.key-secret={key.id}",
            *cipher_options(volume.encryption, "encrypt."),
        ]
    options += allocated
    if place.no_cow:
        options.append("nocow=on")
    if kind == "qcow2":
        options.append(f"compat={place.compat or '0.10'}")
        options += [f"cluster_size={place.cluster_size}"] if place.cluster_size else []
        options += ["lazy_refcounts"] if place.lazy_refcounts else []
        options += ["extended_l2=on"] if place.extended_l2 else []
    return options


def cipher_options(encryption: Encryption | None, stem: str) -> list[str]:
    """The cipher that the definition chooses, in the words of QEMU's crypto layer (qapi/crypto.json)."""
    if encryption is None or encryption.cipher is None:
        return []
    words = [
        ("cipher-alg", f"{encryption.cipher}-{encryption.cipher_size or 256}"),
        ("cipher-mode", encryption.cipher_mode),
        ("hash-alg", encryption.cipher_hash),
        ("ivgen-alg", encryption.ivgen),
        ("ivgen-hash-alg", encryption.ivgen_hash),
    ]
    return [f"{stem}{name}={value}" for name, value in words if value]


def _check(volume: Volume, kind: str, preallocate: Preallocation) -> None:
    place = volume.place
    if kind not in CREATABLE:
        raise Unsupported(f"<format>: volumes of format '{volume.format}' cannot be made")
    if volume.backing is not None and volume.backing.path:
        if kind not in BACKED:
            raise InvalidXML(f"<backingStore>: format '{kind}' has none", element="backingStore")
        if not volume.backing.format:
            raise InvalidXML("<backingStore>: its format must be said, it is never guessed", element="backingStore")
        if preallocate != "none":
            raise InvalidXML("an image with a backing store cannot be preallocated", element="backingStore")
    if kind not in PREALLOCATED[preallocate]:
        what = "metadata" if preallocate == "metadata" else "content"
        raise InvalidXML(f"{what} of format '{kind}' cannot be preallocated", element="format")
    if place.compat not in (None, "0.10", "1.1"):
        raise InvalidXML(f"<compat>: '{place.compat}' is neither 0.10 nor 1.1", element="compat")
    if (place.lazy_refcounts or place.extended_l2) and (kind != "qcow2" or place.compat in (None, "0.10")):
        raise InvalidXML(
            "<features>: lazy_refcounts and extended_l2 need format qcow2 and compat 1.1", element="features"
        )
    if place.cluster_size and kind != "qcow2":
        raise InvalidXML(f"<clusterSize>: format '{kind}' has no clusters to choose", element="clusterSize")


def _objects(keys: Sequence[Key | None]) -> list[str]:
    return [word for key in keys if key is not None for word in ("--object", f"secret,id={key.id},file={key.file}")]


def _keys(keys: Sequence[Key | None]) -> dict[str, tuple[str | None, str | None]]:
    return {key.id: (key.uuid, key.usage) for key in keys if key is not None}


def _graph(kind: str, path: str, key: Key | None) -> str:
    """An image with its key, as --image-opts takes it."""
    words = [f"driver={kind}", f"file.filename={escape(plain(path))}"]
    if key is not None:
        words.append(f"key-secret={key.id}" if kind == "luks" else f"encrypt.key-secret={key.id}")
    return ",".join(words)


def escape(text: str) -> str:
    """A value inside a list of options."""
    return text.replace(",", ",,")


def plain(path: str) -> str:
    """A path that qemu-img takes for nothing else: a colon would make it a protocol, "json:" a whole graph."""
    return path if path.startswith("/") else f"./{path}"
