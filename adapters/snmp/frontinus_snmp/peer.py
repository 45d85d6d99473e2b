"""A receiver of informs: its engine is the authority for them (RFC 3414, section 3.2), so its clock has to be learned."""

from __future__ import annotations

import time

from frontinus_snmp import pdu, usm
from frontinus_snmp.ber import Malformed
from frontinus_snmp.usm import AUTH, PRIV, REPORTABLE, Authority, User

NOT_IN_TIME = usm.REPORTS["usmStatsNotInTimeWindows"]


class Peer:
    """Writes informs for one receiver, as a user whose keys are good for its engine, and judges what comes back."""

    def __init__(self, authority: Authority, user: User) -> None:
        self._authority, self.user = authority, user
        self._boots = self._time = 0
        self._learned = time.monotonic()

    def message(self, msg_id: int, body: bytes) -> bytes:
        seconds = self._time + int(time.monotonic() - self._learned) if self._boots else 0
        engine = (self.user.engine_id, self._boots, seconds)
        return self._authority.write(engine, msg_id, self.user, body, AUTH | PRIV | REPORTABLE)

    def judge(self, data: bytes) -> pdu.Pdu | None:
        """The response in an answer; None for an authentic report that taught us the receiver's clock.

        Raises Malformed for all that is not authentic, or is something else.
        """
        version, pos = pdu.version(data)
        if version != usm.V3:
            raise Malformed("version")
        model, message = usm.read(data, pos)
        if (
            model != usm.USM_MODEL
            or message.engine_id != self.user.engine_id
            or message.user != self.user.name.encode()
        ):
            raise Malformed("not the receiver")
        if not message.flags & AUTH or not usm.authentic(message, self.user):
            raise Malformed("not authentic")
        scoped = usm.decrypted(message, self.user) if message.flags & PRIV else data[message.body :]
        _, _, found = usm.read_scoped(scoped)
        if found.kind == pdu.REPORT and found.names[:1] == (NOT_IN_TIME,):
            self._learn(message)
            return None
        if found.kind != pdu.RESPONSE or not message.flags & PRIV:
            raise Malformed("no response")
        if message.boots < self._boots or abs(message.time - self._now()) > usm.WINDOW:
            raise Malformed("not of now")
        return found

    def _now(self) -> int:
        return self._time + int(time.monotonic() - self._learned)

    def _learn(self, message: usm.Message) -> None:
        """Take over a later clock only: an old report that is played again must not set it back."""
        if (message.boots, message.time) > (self._boots, self._now()) or not self._boots:
            self._boots, self._time, self._learned = message.boots, message.time, time.monotonic()


def discovery(authority: Authority) -> bytes:
    """What a receiver answers by telling its engine's identity."""
    body = pdu.write_pdu(pdu.GET, 1, 0, 0, b"")
    return authority.write((b"", 0, 0), 1, None, body, REPORTABLE)


def discovered(data: bytes) -> bytes:
    """The engine in the answer. Raises Malformed. Not authentic: compare it with what the receiver itself says."""
    version, pos = pdu.version(data)
    if version != usm.V3:
        raise Malformed("version")
    model, message = usm.read(data, pos)
    if model != usm.USM_MODEL or not 5 <= len(message.engine_id) <= 32:
        raise Malformed("no engine")
    return message.engine_id
