"""TLS and passwords from a file in the format that Prometheus' own exporters share.

What is asked for and cannot be done is refused by name: a silent difference in security would be worse than none.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import bcrypt
import yaml

from frontinus.api.errors import InvalidValue

log = logging.getLogger(__name__)

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
CLIENTS = {"NoClientCert": ssl.CERT_NONE, "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
           "RequireAndVerifyClientCert": ssl.CERT_REQUIRED}  # fmt: skip
"""Those of the ways to ask for a client's certificate that OpenSSL can do from here."""
HEADERS = (
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
    "Content-Security-Policy",
)
NOBODY = b"$2b$10$RvHtl1h4.1S1LKatuxYa0eIQwWqhE.PTai/Cinb7YkvPkb3ZH1Ynm"
"""What the password of an unknown user is compared with, so that the answer takes as long."""

FIELDS: Mapping[str, frozenset[str]] = {
    "": frozenset({"tls_server_config", "http_server_config", "basic_auth_users"}),
    "tls_server_config": frozenset({"cert_file", "key_file", "client_auth_type", "client_ca_file", "min_version",
                                    "max_version", "prefer_server_cipher_suites"}),
    "http_server_config": frozenset({"http2", "headers"}),
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What the file says. `users`: password hashes by name."""

    tls: Mapping[str, str] | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def parse(text: str, folder: Path) -> Settings:
    """Read the file's text; paths in it are relative to its folder. Raises InvalidValue naming the field."""
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise InvalidValue(f"web configuration: {error}", field="file") from None
    top = _section(document, "", "")
    tls, http = (_section(top.get(name) or {}, name, name) for name in ("tls_server_config", "http_server_config"))
    users = _strings(top.get("basic_auth_users") or {}, "basic_auth_users")
    headers = _strings(http.get("headers") or {}, "http_server_config.headers")
    for name in headers:
        if name not in HEADERS:
            raise InvalidValue(f"web configuration: the header '{name}' is none of {', '.join(HEADERS)}", field=name)
    for name, value in users.items():
        if not value.startswith(("$2a$", "$2b$", "$2y$")) or len(value) != 60:
            raise InvalidValue(
                f"web configuration: the password of '{name}' is no bcrypt hash", field="basic_auth_users"
            )
    hashes = {name: value.encode() for name, value in users.items()}
    return Settings(_tls(tls, folder) if top.get("tls_server_config") else None, hashes, headers)


def _section(value: object, name: str, words: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InvalidValue(f"web configuration: '{words or 'the file'}' must be a mapping", field=name)
    for key in value:
        if key not in FIELDS[name]:
            raise InvalidValue(
                f"web configuration: '{words}{'.' if words else ''}{key}' is not supported", field=str(key)
            )
    return value


def _strings(value: object, name: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for pair in value.items() for v in pair):
        raise InvalidValue(f"web configuration: '{name}' must map texts to texts", field=name)
    return value


def _tls(tls: dict[str, object], folder: Path) -> Mapping[str, str]:
    tls.pop("prefer_server_cipher_suites", None)  # has no meaning since TLS 1.3, as in the exporters
    found = {
        k: v if k.endswith(("type", "version")) else str(folder / v)
        for k, v in _strings(tls, "tls_server_config").items()
    }
    for name in ("cert_file", "key_file"):
        if name not in found:
            raise InvalidValue(f"web configuration: 'tls_server_config' needs '{name}'", field=name)
    for name, choice in (("min_version", VERSIONS), ("max_version", VERSIONS), ("client_auth_type", CLIENTS)):
        if name in found and found[name] not in choice:
            raise InvalidValue(f"web configuration: '{name}' must be one of {', '.join(choice)}", field=name)
    verified = CLIENTS[found.get("client_auth_type", "NoClientCert")] is not ssl.CERT_NONE
    if verified != ("client_ca_file" in found):
        raise InvalidValue("web configuration: 'client_ca_file' and a verifying 'client_auth_type' need each other",
                           field="client_ca_file")  # fmt: skip
    return found


def context(tls: Mapping[str, str]) -> ssl.SSLContext:
    """Raises InvalidValue for files that cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = VERSIONS[tls.get("min_version", "TLS12")]
    made.maximum_version = VERSIONS[tls.get("max_version", "TLS13")]
    made.verify_mode = CLIENTS[tls.get("client_auth_type", "NoClientCert")]
    try:
        if "client_ca_file" in tls:
            made.load_verify_locations(tls["client_ca_file"])
        made.load_cert_chain(tls["cert_file"], tls["key_file"])
    except OSError as error:  # an SSLError is one
        raise InvalidValue(f"web configuration: {error}", field="tls_server_config") from None
    return made


def rules(settings: Settings) -> Mapping[str, str] | None:
    """What is fixed when the port opens: all of TLS but the certificate."""
    if settings.tls is None:
        return None
    return {name: value for name, value in settings.tls.items() if name not in ("cert_file", "key_file")}


class Guard:
    """The file in force. Passwords and certificates are taken anew when their files change; whether there is TLS is not."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.settings = self._read()
        self.tls = context(self.settings.tls) if self.settings.tls else None
        self._seen = self._stamps()
        self._right: set[bytes] = set()
        """Names with passwords that were right, hashed: what strangers guess pushes none of them out."""
        self._salt = secrets.token_bytes(16)
        self._turn = asyncio.Lock()

    async def refresh(self) -> None:
        """Look whether the files changed. What cannot be read is logged, and the old stays in force."""
        seen = await asyncio.to_thread(self._stamps)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            settings = await asyncio.to_thread(self._taken_in)
        except (InvalidValue, OSError) as error:
            log.error("%s keeps its old settings: %s", self.file, error)
            return
        if rules(settings) != rules(self.settings):
            log.error("%s: what it says of TLS, beside the certificate, takes a restart", self.file)
        self.settings = settings
        self._right.clear()
        log.info("took in %s", self.file)

    def _taken_in(self) -> Settings:
        """The new settings, the certificate already in use. Raises InvalidValue, OSError. Blocks."""
        settings = self._read()
        if self.settings.users and not settings.users:
            raise InvalidValue("web configuration: to let everybody in takes a restart", field="basic_auth_users")
        if self.tls is not None and settings.tls is not None:
            context(settings.tls)  # proves the files before the context in use takes them
            self.tls.load_cert_chain(settings.tls["cert_file"], settings.tls["key_file"])
        return settings

    async def admits(self, authorization: str) -> bool:
        """Whether a request with this header may pass. A password is hashed once and then remembered, one at a time."""
        if not self.settings.users:
            return True
        kind, _, given = authorization.partition(" ")
        try:
            name, colon, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        if kind.lower() != "basic" or not colon:
            return False
        stored = self.settings.users.get(name)
        key = hmac.digest(self._salt, b"\0".join([name.encode(), password.encode(), stored or b""]), hashlib.sha256)
        if key in self._right:
            return True
        async with self._turn:
            right = key in self._right or await asyncio.to_thread(_matches, password.encode(), stored or NOBODY)
        if not right or stored is None or self.settings.users.get(name) != stored:
            return False
        self._right.add(key)
        return True

    def _read(self) -> Settings:
        try:
            text = self.file.read_text()
        except OSError as error:
            raise InvalidValue(f"web configuration: {error}", field="file") from None
        return parse(text, self.file.parent)

    def _stamps(self) -> list[int]:
        tls = self.settings.tls or {}
        files = [self.file, *(Path(tls[name]) for name in ("cert_file", "key_file") if name in tls)]
        return [_stamp(file) for file in files]


def _stamp(file: Path) -> int:
    """When a file was written, in ns; 0 for one that is not to be seen, as while it is replaced."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _matches(password: bytes, stored: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, stored)
    except ValueError:  # longer than bcrypt takes, or no hash after all
        return False
