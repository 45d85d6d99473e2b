"""One question to PAM, in a process of its own: modules may block, sleep and be of any quality. Stdlib only.

Standard input: a JSON object of service, folder, name, password and host. Exit code 0 with the user's name and groups as JSON
on standard output, 10 where PAM says no, 11 where PAM cannot be asked; standard error says why. Sources: pam_start(3),
pam_conv(3), pam_authenticate(3), pam_acct_mgmt(3).
"""

from __future__ import annotations

import ctypes
import ctypes.util
import grp
import json
import os
import pwd
import resource
import sys
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_void_p

YES, NO, BROKEN = 0, 10, 11
"""Exit codes; Python's own are others."""
SUCCESS, BUFFER_ERROR, CONVERSATION_ERROR = 0, 5, 19
CANNOT_ANSWER = frozenset({1, 2, 3, 4, 9, 26})
"""Return values of a service that cannot work: what it needs is not there, or (9) must not be read by this process."""
HIDDEN, SHOWN, ERROR, INFO = 1, 2, 3, 4
"""What a module asks or tells, by style of message."""
FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
USER, REMOTE_HOST = 2, 4
"""Items of pam_set_item and pam_get_item."""
SILENT, NO_EMPTY_PASSWORD = 0x8000, 0x1


class Message(ctypes.Structure):
    _fields_ = (("style", c_int), ("text", c_char_p))


class Answer(ctypes.Structure):
    _fields_ = (("text", c_void_p), ("unused", c_int))


Ask = ctypes.CFUNCTYPE(c_int, c_int, POINTER(POINTER(Message)), POINTER(POINTER(Answer)), c_void_p)


class Conversation(ctypes.Structure):
    _fields_ = (("ask", Ask), ("data", c_void_p))


class Refused(Exception):
    """PAM's answer is no, or there is none; `code` is this process's exit code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        super().__init__(message)


def libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """PAM's library and C's. Raises Refused."""
    try:
        pam, c = ctypes.CDLL("libpam.so.0"), ctypes.CDLL(None)
    except OSError as error:
        raise Refused(BROKEN, f"PAM cannot be used: {error}") from None
    c.calloc.restype, c.calloc.argtypes = c_void_p, (c_size_t, c_size_t)
    c.strdup.restype, c.strdup.argtypes = c_void_p, (c_char_p,)
    pam.pam_strerror.restype, pam.pam_strerror.argtypes = c_char_p, (c_void_p, c_int)
    pam.pam_set_item.argtypes = (c_void_p, c_int, c_char_p)
    pam.pam_get_item.argtypes = (c_void_p, c_int, POINTER(c_char_p))
    for name in ("pam_authenticate", "pam_acct_mgmt", "pam_end"):
        getattr(pam, name).argtypes = (c_void_p, c_int)
    return pam, c


def conversation(c: ctypes.CDLL, password: bytes) -> Conversation:
    """Answers what is asked hidden with the password, and nothing else: there is nobody to ask. PAM frees the answers."""

    def ask(count: int, messages: object, answers: object, _: object) -> int:
        styles = [messages[n].contents.style for n in range(count)]  # type: ignore[index]
        if SHOWN in styles or not set(styles) <= {HIDDEN, ERROR, INFO}:
            return CONVERSATION_ERROR
        memory = c.calloc(count, ctypes.sizeof(Answer))
        if not memory:
            return BUFFER_ERROR
        given = ctypes.cast(memory, POINTER(Answer))
        for number, style in enumerate(styles):
            given[number].text = c.strdup(password) if style == HIDDEN else None
        answers[0] = given  # type: ignore[index]
        return SUCCESS

    return Conversation(Ask(ask), None)


def check(service: str, folder: str | None, name: str, password: str, host: str) -> str:
    """The user whom a password is good for, as PAM calls them: known, and with an account that may be used. Raises Refused."""
    if not any(os.path.exists(f"{place}/{service}") for place in ([folder] if folder else FOLDERS)):  # noqa: PTH110
        raise Refused(BROKEN, f"PAM has no service '{service}'")  # else the service 'other' would decide
    pam, c = libraries()
    handle, talk = c_void_p(), conversation(c, password.encode())

    def do(code: int) -> None:
        if code != SUCCESS:
            words = (pam.pam_strerror(handle, code) or b"").decode(errors="replace")
            raise Refused(BROKEN if code in CANNOT_ANSWER else NO, f"PAM's service '{service}' says: {words}")

    begin = (service.encode(), name.encode(), byref(talk))
    if folder is None:
        do(pam.pam_start(*begin, byref(handle)))
    else:
        do(pam.pam_start_confdir(*begin, folder.encode(), byref(handle)))
    do(pam.pam_set_item(handle, REMOTE_HOST, host.encode()))
    last = SUCCESS
    try:
        steps: tuple[Callable[[c_void_p, int], int], ...] = (pam.pam_authenticate, pam.pam_acct_mgmt)
        for step in steps:
            last = step(handle, SILENT | NO_EMPTY_PASSWORD)
            do(last)
        found = c_char_p()
        do(pam.pam_get_item(handle, USER, byref(found)))
        return (found.value or b"").decode()
    finally:
        pam.pam_end(handle, last)


def groups(name: str) -> list[str]:
    """The names of a user's groups on this host; none if it does not know the user."""
    try:
        numbers = os.getgrouplist(name, pwd.getpwnam(name).pw_gid)
    except KeyError:
        return []
    found = []
    for number in numbers:
        try:
            found.append(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return found


def main() -> int:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the password
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a module prints is no answer of ours
    try:
        name = check(**json.load(sys.stdin))
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return refused.code
    with out:
        json.dump({"name": name, "groups": groups(name)}, out)
    return YES


if __name__ == "__main__":
    sys.exit(main())
