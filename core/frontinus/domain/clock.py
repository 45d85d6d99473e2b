"""The guest's clock and timers: the <clock> element."""

from __future__ import annotations

from frontinus.xml import Model, many, one, xml
from frontinus.xml.codecs import Int, UInt32, YesNo, one_of

TIMERS = ("platform", "pit", "rtc", "hpet", "tsc", "kvmclock", "hypervclock", "armvtimer")


class Catchup(Model, tag="catchup"):
    """Limits of catching up; kept, without a meaning to QEMU."""

    threshold: int | None = xml("@threshold", UInt32)
    slew: int | None = xml("@slew", UInt32)
    limit: int | None = xml("@limit", UInt32)


class Timer(Model, tag="timer"):
    """One timer device. `frequency` is hertz."""

    name: str = xml("@name", one_of(*TIMERS), required=True)
    present: bool | None = xml("@present", YesNo)
    tick_policy: str | None = xml("@tickpolicy", one_of("delay", "catchup", "merge", "discard"))
    track: str | None = xml("@track", one_of("boot", "guest", "wall", "realtime"))
    frequency: int | None = xml("@frequency", Int)
    mode: str | None = xml("@mode", one_of("auto", "native", "emulate", "paravirt", "smpsafe"))
    catchup: Catchup | None = one("catchup", Catchup)


class Clock(Model, tag="clock"):
    """What the guest's hardware clock shows. `adjustment` is seconds, or "reset"; `start` seconds of the epoch."""

    offset: str | None = xml("@offset", one_of("utc", "localtime", "variable", "timezone", "absolute"))
    timezone: str | None = xml("@timezone")
    adjustment: str | None = xml("@adjustment")
    basis: str | None = xml("@basis", one_of("utc", "localtime"))
    start: int | None = xml("@start", Int)
    timers: list[Timer] = many("timer", Timer)

    def timer(self, name: str) -> Timer | None:
        """The timer of a name, if it is configured."""
        return next((timer for timer in self.timers if timer.name == name), None)
