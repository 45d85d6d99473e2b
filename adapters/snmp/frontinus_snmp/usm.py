"""The user-based security model (RFC 3414) with SHA-2 (RFC 7860) and AES (RFC 3826): this engine is always the authority.

Only authentication with privacy is served; everything else is refused before its content is looked at.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from frontinus_snmp import ber, pdu
from frontinus_snmp.ber import Malformed, Oid
from frontinus_snmp.objects.agent import MPD, TARGET, USM
from frontinus_snmp.pdu import Pdu

V3, USM_MODEL = 3, 3
AUTH, PRIV, REPORTABLE = 1, 2, 4
WINDOW = 150  # seconds, RFC 3414, section 2.2.3
MOST_SETS = 100_000
"""SETs in twice the window, beyond which no more are taken: each must be remembered."""
LAST_BOOT = 2**31 - 1
LEAST_MAX_SIZE = 484  # RFC 3411, section 4
OVERHEAD = 128
"""Octets at most around a scoped PDU beside the names in it."""


@dataclass(frozen=True)
class Auth:
    """An authentication protocol: its hash, and the octets of a digest that travel."""

    digest: str
    size: int


AUTHS: Mapping[str, Auth] = {
    "SHA-224": Auth("sha224", 16), "SHA-256": Auth("sha256", 24), "SHA-384": Auth("sha384", 32), "SHA-512": Auth("sha512", 48),
}  # fmt: skip
PRIVS: Mapping[str, int] = {"AES-128": 16, "AES-256": 32}
"""Privacy protocols and the octets of their keys. A key is a localized one's beginning, never stretched."""


@dataclass(frozen=True)
class User:
    """A user with keys that are good for one engine only."""

    name: str
    auth: str
    priv: str
    auth_key: bytes
    priv_key: bytes
    view: str
    write: str = ""
    """The view of what may be changed; without a name nothing may."""
    engine_id: bytes = b""
    """The engine that the keys are good for, if it is not ours but a receiver's."""


def localize(password: bytes, engine_id: bytes, auth: str) -> bytes:
    """A password's key for one engine (RFC 3414, section 2.6)."""
    name = AUTHS[auth].digest
    stretched = (password * (2**20 // len(password) + 1))[: 2**20]
    key = hashlib.new(name, stretched).digest()
    return hashlib.new(name, key + engine_id + key).digest()


def make_user(name: str, auth: str, priv: str, passwords: tuple[bytes, bytes], engine_id: bytes, view: str) -> User:
    """A user from passwords. Raises ValueError naming what is not acceptable."""
    if not 0 < len(name.encode()) <= 32:
        raise ValueError("a user's name has 1 to 32 octets")
    if auth not in AUTHS or priv not in PRIVS:
        raise ValueError(f"authentication is one of {', '.join(AUTHS)}, privacy one of {', '.join(PRIVS)}")
    if any(len(password) < 8 for password in passwords):
        raise ValueError("a password has at least 8 octets")
    auth_key, priv_key = (localize(password, engine_id, auth) for password in passwords)
    if len(priv_key) < PRIVS[priv]:
        raise ValueError(f"{priv} needs a longer digest than {auth}'s")
    return User(name, auth, priv, auth_key, priv_key[: PRIVS[priv]], view)


@dataclass(frozen=True, slots=True)
class Message:
    """A v3 message before its security is looked at. `body` is where the scoped PDU, plain or encrypted, begins."""

    data: bytes
    msg_id: int
    max_size: int
    flags: int
    engine_id: bytes
    boots: int
    time: int
    user: bytes
    auth_at: int
    auth: bytes
    salt: bytes
    body: int


@dataclass(frozen=True, slots=True)
class Request:
    """An authentic request: what is asked, by whom, and how large the response PDU may be."""

    message: Message
    user: User
    pdu: Pdu
    room: int


class Refused(Exception):
    """The message is not served; `report` is what to tell its sender, if anything."""

    def __init__(self, counter: str, report: bytes | None = None) -> None:
        super().__init__(counter)
        self.report = report


REPORTS: Mapping[str, Oid] = {
    "usmStatsUnsupportedSecLevels": (*USM, 1, 0), "usmStatsNotInTimeWindows": (*USM, 2, 0),
    "usmStatsUnknownUserNames": (*USM, 3, 0), "usmStatsUnknownEngineIDs": (*USM, 4, 0),
    "usmStatsWrongDigests": (*USM, 5, 0), "usmStatsDecryptionErrors": (*USM, 6, 0),
    "snmpUnknownPDUHandlers": (*MPD, 3, 0), "snmpUnknownContexts": (*TARGET, 5, 0),
}  # fmt: skip


def read(data: bytes, pos: int) -> tuple[int, Message]:
    """The security model and the message from after its version. Raises Malformed."""
    start, stop = ber.expect(data, pos, len(data), ber.SEQUENCE)
    msg_id, pos = ber.integer(data, start, stop)
    max_size, pos = ber.integer(data, pos, stop)
    flags, pos = ber.octets(data, pos, stop, 1)
    model, pos = ber.integer(data, pos, stop)
    if pos != stop or len(flags) != 1 or msg_id < 0 or max_size < LEAST_MAX_SIZE or model < 1:
        raise Malformed("header")
    start, body = ber.expect(data, stop, len(data), ber.OCTETS)
    if model != USM_MODEL:
        return model, Message(data, msg_id, max_size, flags[0], b"", 0, 0, b"", 0, b"", b"", body)
    pos, stop = ber.expect(data, start, body, ber.SEQUENCE)
    engine_id, pos = ber.octets(data, pos, stop, 32)
    boots, pos = ber.integer(data, pos, stop)
    seconds, pos = ber.integer(data, pos, stop)
    user, pos = ber.octets(data, pos, stop, 32)
    auth, after = ber.octets(data, pos, stop, 64)
    salt, pos = ber.octets(data, after, stop, 8)
    if pos != stop or stop != body or boots < 0 or seconds < 0:
        raise Malformed("security parameters")
    return model, Message(
        data, msg_id, max_size, flags[0], engine_id, boots, seconds, user, after - len(auth), auth, salt, body
    )


def authentic(message: Message, user: User) -> bool:
    """Whether a message was signed with a user's key."""
    kind = AUTHS[user.auth]
    if len(message.auth) != kind.size:
        return False
    at, data = message.auth_at, message.data
    signed = data[:at] + bytes(kind.size) + data[at + kind.size :]
    return hmac.compare_digest(hmac.digest(user.auth_key, signed, kind.digest)[: kind.size], message.auth)


def decrypted(message: Message, user: User) -> bytes:
    """The scoped PDU, which may be noise. Raises Malformed."""
    data = message.data
    start, stop = ber.expect(data, message.body, len(data), ber.OCTETS)
    if stop != len(data) or len(message.salt) != 8:
        raise Malformed("encrypted PDU")
    cipher = _cipher(user, message.boots, message.time, message.salt).decryptor()
    return cipher.update(data[start:stop]) + cipher.finalize()


Engine = tuple[bytes, int, int]
"""An authority's identity, boots and time."""


class Authority:
    """This engine: checks what comes in and seals what goes out."""

    def __init__(self, engine_id: bytes, boots: int, users: Mapping[bytes, User], counters: Counter[str],
                 max_size: int) -> None:  # fmt: skip
        self.engine_id, self.boots, self.users, self.max_size = engine_id, boots, users, max_size
        self._counters = counters
        self.started = time.monotonic()
        self._salt = int.from_bytes(os.urandom(8), "big")
        self._sets: dict[bytes, float] = {}
        """Digests of the SETs of late, with the time of their coming."""
        self._context = ber.tlv(ber.OCTETS, engine_id) + ber.tlv(ber.OCTETS, b"")

    @property
    def time(self) -> int:
        """Seconds since this boot; a clock that would pass the limit stands still, which refuses all."""
        return min(int(time.monotonic() - self.started), 2**31 - 1)

    def open(self, data: bytes, pos: int) -> Request:
        """The request in a message, in the order of checks of RFC 3412, section 7.2, and RFC 3414, section 3.2.

        Raises Malformed and Refused.
        """
        model, message = read(data, pos)
        if model != USM_MODEL:
            raise self._refusal("snmpUnknownSecurityModels", message)
        if message.flags & (AUTH | PRIV) == PRIV:
            raise self._refusal("snmpInvalidMsgs", message)
        if message.engine_id != self.engine_id:
            raise self._refusal("usmStatsUnknownEngineIDs", message)
        user = self.users.get(message.user)
        if user is None:
            raise self._refusal("usmStatsUnknownUserNames", message)
        if message.flags & (AUTH | PRIV) != AUTH | PRIV:
            raise self._refusal("usmStatsUnsupportedSecLevels", message)
        if not authentic(message, user):
            raise self._refusal("usmStatsWrongDigests", message)
        if message.boots != self.boots or self.boots == LAST_BOOT or abs(message.time - self.time) > WINDOW:
            raise self._refusal("usmStatsNotInTimeWindows", message, user)
        return self._request(message, user)

    def _request(self, message: Message, user: User) -> Request:
        if len(message.salt) != 8:
            raise self._refusal("usmStatsDecryptionErrors", message, user)
        context, name, found = read_scoped(decrypted(message, user))
        if found.kind not in pdu.REQUESTS:
            raise self._refusal(
                "snmpUnknownPDUHandlers"
            )  # no report for what is no request: two agents could go on for ever
        if context != self.engine_id:
            raise self._refusal("snmpUnknownPDUHandlers", message, user)
        if name:
            raise self._refusal("snmpUnknownContexts", message, user)
        if found.kind == pdu.SET:
            self._once(message)
        room = (
            min(message.max_size, self.max_size)
            - OVERHEAD
            - 2 * len(self.engine_id)
            - len(message.user)
            - len(message.auth)
        )
        return Request(message, user, found, room)

    def _once(self, message: Message) -> None:
        """A SET that is played again within the time window does nothing. A manager's own second try is another message."""
        now = time.monotonic()
        while self._sets and now - next(iter(self._sets.values())) > 2 * WINDOW:
            del self._sets[next(iter(self._sets))]
        if message.auth in self._sets or len(self._sets) >= MOST_SETS:
            raise self._refusal("setsReplayed")
        self._sets[message.auth] = now

    def seal(self, request: Request, response: bytes) -> bytes:
        """The message that carries a response PDU."""
        return self.message(request.message.msg_id, request.user, response, AUTH | PRIV)

    def message(self, msg_id: int, user: User | None, body: bytes, flags: int) -> bytes:
        """A message of ours: encrypted, only signed, or plain without a user."""
        return self.write((self.engine_id, self.boots, self.time), msg_id, user, body, flags)

    def write(self, engine: Engine, msg_id: int, user: User | None, body: bytes, flags: int) -> bytes:
        """A message for which `engine` is the authority: ours, or a receiver's of informs."""
        engine_id, boots, seconds = engine
        scoped, salt, size = ber.tlv(ber.SEQUENCE, self._context + body), b"", 0
        if user is not None and flags & PRIV:
            self._salt = (self._salt + 1) & 0xFFFFFFFFFFFFFFFF
            salt = self._salt.to_bytes(8, "big")
            cipher = _cipher(user, boots, seconds, salt).encryptor()
            scoped = ber.tlv(ber.OCTETS, cipher.update(scoped) + cipher.finalize())
        if user is not None:
            size = AUTHS[user.auth].size
        name = user.name.encode() if user is not None else b""
        tail = ber.tlv(ber.OCTETS, salt)
        security = ber.tlv(ber.SEQUENCE, _octets(engine_id) + ber.number(ber.INTEGER, boots) + ber.number(ber.INTEGER, seconds)
                           + _octets(name) + _octets(bytes(size)) + tail)  # fmt: skip
        header = ber.tlv(ber.SEQUENCE, ber.number(ber.INTEGER, msg_id) + _header(self.max_size, flags))
        whole = ber.tlv(ber.SEQUENCE, VERSION + header + ber.tlv(ber.OCTETS, security) + scoped)
        if user is None:
            return whole
        at = len(whole) - len(scoped) - len(tail) - size
        digest = hmac.digest(user.auth_key, whole, AUTHS[user.auth].digest)[:size]
        return whole[:at] + digest + whole[at + size :]

    def _refusal(self, counter: str, message: Message | None = None, user: User | None = None) -> Refused:
        """Count; a report only if it is asked for, signed if the request was authentic."""
        self._counters[counter] += 1
        oid = REPORTS.get(counter)
        if oid is None or message is None or not message.flags & REPORTABLE:
            return Refused(counter)
        value = ber.number(ber.COUNTER32, self._counters[counter] & 0xFFFFFFFF)
        body = pdu.write_pdu(pdu.REPORT, 0, 0, 0, ber.varbind(ber.encode_oid(oid), value))
        return Refused(counter, self.message(message.msg_id, user, body, AUTH if user else 0))


def read_scoped(data: bytes) -> tuple[bytes, bytes, Pdu]:
    """Context engine, context name and PDU. Raises Malformed."""
    pos, stop = ber.expect(data, 0, len(data), ber.SEQUENCE)
    if stop != len(data):
        raise Malformed("something follows the scoped PDU")
    context, pos = ber.octets(data, pos, stop, 32)
    name, pos = ber.octets(data, pos, stop, 32)
    return context, name, pdu.read_pdu(data, pos, stop)


VERSION = ber.number(ber.INTEGER, V3)


@functools.lru_cache(256)
def _octets(content: bytes) -> bytes:
    """A name or an engine, which are the same in message after message."""
    return ber.tlv(ber.OCTETS, content)


@functools.lru_cache(16)
def _header(max_size: int, flags: int) -> bytes:
    """What follows the message's number."""
    return (ber.number(ber.INTEGER, max_size) + ber.tlv(ber.OCTETS, bytes((flags,)))
            + ber.number(ber.INTEGER, USM_MODEL))  # fmt: skip


@functools.lru_cache(64)
def _algorithm(key: bytes) -> AES:
    return AES(key)


def _cipher(user: User, boots: int, seconds: int, salt: bytes) -> Cipher[CFB]:
    return Cipher(_algorithm(user.priv_key), CFB(boots.to_bytes(4, "big") + seconds.to_bytes(4, "big") + salt))
