"""The <audio> device: a backend of the host's sound, which sound cards and displays use by its id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.xml import Model, one, xml
from frontinus.xml.codecs import UInt32, YesNo, integer, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

BACKENDS = (
    "none", "alsa", "coreaudio", "jack", "oss", "pulseaudio", "sdl", "spice", "file", "dbus", "pipewire",
)  # fmt: skip
FORMATS = ("s8", "u8", "s16", "u16", "s32", "u32", "f32")
SDL_DRIVERS = ("esd", "alsa", "arts", "pulseaudio")
COMMON = frozenset({
    "mixing_engine", "fixed_settings", "voices", "buffer_length", "frequency", "channels", "format",
})  # fmt: skip
STREAM_OPTIONS: dict[str, frozenset[str]] = {
    "alsa": frozenset({"device"}),
    "coreaudio": frozenset({"buffer_count"}),
    "jack": frozenset({"server", "client", "connect_ports", "exact_name"}),
    "oss": frozenset({"device", "buffer_count", "try_poll"}),
    "pulseaudio": frozenset({"name", "stream_name", "latency"}),
    "pipewire": frozenset({"name", "stream_name", "latency"}),
    "sdl": frozenset({"buffer_count"}),
}
"""What <input> and <output> may say beyond the common options, by backend."""


class Stream(Model):
    """One direction. Lengths and latency are microseconds, frequency Hz."""

    mixing_engine: bool | None = xml("@mixingEngine", YesNo)
    fixed_settings: bool | None = xml("@fixedSettings", YesNo)
    voices: int | None = xml("@voices", UInt32)
    buffer_length: int | None = xml("@bufferLength", UInt32)
    device: str | None = xml("@dev")
    buffer_count: int | None = xml("@bufferCount", UInt32)
    try_poll: bool | None = xml("@tryPoll", YesNo)
    name: str | None = xml("@name")
    stream_name: str | None = xml("@streamName")
    latency: int | None = xml("@latency", UInt32)
    server: str | None = xml("@serverName")
    client: str | None = xml("@clientName")
    connect_ports: str | None = xml("@connectPorts")
    exact_name: bool | None = xml("@exactName", YesNo)
    frequency: int | None = xml("settings/@frequency", UInt32)
    channels: int | None = xml("settings/@channels", UInt32)
    format: str | None = xml("settings/@format", one_of(*FORMATS))

    def check(self, backend: str) -> Iterator[str]:
        """Reasons why this stream cannot be."""
        allowed = COMMON | STREAM_OPTIONS.get(backend, frozenset())
        for name, spec in type(self)._specs.items():
            if name not in allowed and getattr(self, name) is not None:
                yield f"<audio type='{backend}'> has no {spec.path.replace('@', '')}"
        if self.fixed_settings and not self.mixing_engine:
            yield "<audio>: fixedSettings needs the mixing engine"
        fixed = (self.frequency, self.channels, self.format)
        if self.fixed_settings is not True and any(value is not None for value in fixed):
            yield "<audio>: <settings> need fixedSettings='yes'"


class Audio(Device, tag="audio"):
    """An <audio> element. The timer's period is microseconds."""

    id: int = xml("@id", integer(1, 2**31 - 1), required=True)
    type: str = xml("@type", one_of(*BACKENDS), required=True)
    timer_period: int | None = xml("@timerPeriod", UInt32)
    server: str | None = xml("@serverName")
    driver: str | None = xml("@driver", one_of(*SDL_DRIVERS))
    path: str | None = xml("@path")
    runtime_dir: str | None = xml("@runtimeDir")
    try_mmap: bool | None = xml("@tryMMap", YesNo)
    exclusive: bool | None = xml("@exclusive", YesNo)
    dsp_policy: int | None = xml("@dspPolicy", UInt32)
    input: Stream | None = one("input", Stream)
    output: Stream | None = one("output", Stream)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        """Leave out a direction of which nothing is said."""
        self.input = self.input if self.input != Stream() else None
        self.output = self.output if self.output != Stream() else None

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        """Reasons why this backend cannot be."""
        if sum(1 for other in guest.devices.audios if other.id == self.id) > 1:
            yield f"<audio id='{self.id}'>: the id is used twice"
        if self.type == "spice" and all(display.type != "spice" for display in guest.devices.graphics):
            yield "<audio type='spice'> needs <graphics type='spice'>"
        for name, spec in OPTIONS.items():
            if getattr(self, name) is not None and self.type not in spec:
                yield f"<audio type='{self.type}'> has no {name.replace('_', '')}"
        for stream in (self.input, self.output):
            if stream is not None:
                yield from stream.check(self.type)


OPTIONS = {
    "server": frozenset({"pulseaudio"}), "driver": frozenset({"sdl"}), "path": frozenset({"file"}),
    "runtime_dir": frozenset({"pipewire"}), "try_mmap": frozenset({"oss"}), "exclusive": frozenset({"oss"}),
    "dsp_policy": frozenset({"oss"}),
}  # fmt: skip
"""The backends that each attribute is for."""


def find_audio(guest: Guest, wanted: int | None) -> Audio | None:
    """The backend with an id; without one the first that there is."""
    audios = guest.devices.audios
    if wanted is None:
        return audios[0] if audios else None
    return next((audio for audio in audios if audio.id == wanted), None)


def check_audio(guest: Guest, wanted: int | None, who: str) -> Iterator[str]:
    """Reasons why a device cannot have the backend that it names."""
    if wanted is not None and find_audio(guest, wanted) is None:
        yield f"{who}: there is no <audio id='{wanted}'>"


def default_audio(guest: Guest, host: HostFacts) -> Audio | None:
    """The backend of a guest that names none: its display's own, or silence; the host's sound where that is allowed."""
    if guest.devices.audios:
        return None
    kinds = [display.type for display in guest.devices.graphics]
    chosen = None if kinds else host_sound("nographics", host)
    for kind in kinds:
        if kind == "spice":
            chosen = "spice"
        elif kind == "vnc":
            chosen = host_sound("vnc", host)
        elif kind == "sdl":
            chosen = host.audio_driver
    return None if chosen is None else Audio(id=1, type=chosen)


def host_sound(who: str, host: HostFacts) -> str:
    """The host's sound driver for those who may use it, else none."""
    return (host.audio_driver or "none") if who in host.host_audio else "none"
