"""CIM's values as text and back (DSP0004, DSP0201). Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from frontinus_cim.wire.errors import CimError, Status
from frontinus_cim.wire.model import INTEGERS, Value

STAMP = re.compile(r"(\d{14})\.(\d{6})([+-])(\d{3})", re.ASCII)
INTERVAL = re.compile(r"(\d{8})(\d\d)(\d\d)(\d\d)\.(\d{6}):000", re.ASCII)
DECIMAL = re.compile(r"[+-]?[0-9]+", re.ASCII)
HEXADECIMAL = re.compile(r"[+-]?0[xX][0-9a-fA-F]+", re.ASCII)
MOST_DIGITS = 40


def text(value: Value) -> str:
    """A scalar as DSP0201 writes it, without escaping."""
    if isinstance(value, str):
        return value
    if value is True or value is False:
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return f"{moment.year:04d}{moment:%m%d%H%M%S}.{moment.microsecond:06d}+000"
    if isinstance(value, timedelta):
        return _interval(value)
    return repr(value) if isinstance(value, float) else str(value)


def _interval(value: timedelta) -> str:
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{value.days:08d}{hours:02d}{minutes:02d}{seconds:02d}.{value.microseconds:06d}:000"


def moment(seconds: float) -> datetime:
    """Unix time."""
    return datetime.fromtimestamp(seconds, UTC)


def scalar(given: str, type_: str, what: str) -> Value:
    """A text as a value of a CIM type. Raises CimError INVALID_PARAMETER naming what it is for."""
    word = given.strip()
    if type_ in ("string", "reference"):
        return given
    if type_ == "boolean":
        if word.lower() in ("true", "false"):
            return word.lower() == "true"
    elif type_ in INTEGERS:
        number = integer(word)
        least, most = INTEGERS[type_]
        if number is not None and least <= number <= most:
            return number
    elif type_ in ("real32", "real64"):
        try:
            return float(word)
        except ValueError:
            pass
    elif type_ == "datetime" and (found := when(word)) is not None:
        return found
    elif type_ == "char16" and len(given) == 1:
        return given
    raise CimError(Status.INVALID_PARAMETER, f"{what}: '{given[:60]}' is no {type_}")


def integer(word: str) -> int | None:
    if len(word) > MOST_DIGITS:
        return None
    if DECIMAL.fullmatch(word):
        return int(word)
    return int(word, 16) if HEXADECIMAL.fullmatch(word) else None


def when(word: str) -> datetime | timedelta | None:
    """A moment or an interval, without asterisks."""
    if found := STAMP.fullmatch(word):
        digits, micro, sign, offset = found.groups()
        zone = timezone(timedelta(minutes=int(sign + offset)))
        try:
            return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(microsecond=int(micro), tzinfo=zone)
        except ValueError:
            return None
    if found := INTERVAL.fullmatch(word):
        days, hours, minutes, seconds, micro = map(int, found.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds, microseconds=micro)
    return None
