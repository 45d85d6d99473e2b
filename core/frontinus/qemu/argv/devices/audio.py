"""Backends of sound and sound cards on the command line."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.api.errors import Unsupported
from frontinus.domain.devices.audio import Audio, Stream, find_audio
from frontinus.domain.devices.sound import DRIVERS, WITH_CODECS, Sound
from frontinus.qemu.argv.address import address_props, alias_of
from frontinus.qemu.argv.context import Context
from frontinus.qemu.argv.virtio import virtio_props

BACKENDS = {"pulseaudio": "pa", "file": "wav"}
"""Backends that QEMU calls otherwise."""
OPTIONS = {
    "timer_period": "timer-period", "server": "server", "path": "path", "try_mmap": "try-mmap",
    "exclusive": "exclusive", "dsp_policy": "dsp-policy",
}  # fmt: skip
STREAM_OPTIONS = {
    "mixing_engine": "mixing-engine", "fixed_settings": "fixed-settings", "voices": "voices",
    "buffer_length": "buffer-length", "frequency": "frequency", "channels": "channels", "format": "format",
    "device": "dev", "buffer_count": "buffer-count", "try_poll": "try-poll", "name": "name",
    "stream_name": "stream-name", "latency": "latency", "server": "server-name", "client": "client-name",
    "connect_ports": "connect-ports", "exact_name": "exact-name",
}  # fmt: skip
"""Our fields and QEMU's names of them."""


SPEAKER_PROOF = "blockdev-create/arg-type/options/driver=qcow2/compression-type"
"""Came with the release (5.1) in which the machine took over the speaker, which no schema shows."""


def build(ctx: Context) -> None:
    """Emit every backend."""
    for audio in ctx.guest.devices.audios:
        backend(ctx, audio)


def build_cards(ctx: Context) -> None:
    """Emit every sound card."""
    for card in ctx.guest.devices.sounds:
        sound(ctx, card)


def backend(ctx: Context, audio: Audio) -> None:
    """Emit one backend. SDL takes its driver from the environment."""
    properties: dict[str, object] = {
        "id": audio_id(audio),
        "driver": BACKENDS.get(audio.type, audio.type),
        **_named(audio, OPTIONS),
    }
    if audio.input:
        properties["in"] = _named(audio.input, STREAM_OPTIONS)
    if audio.output:
        properties["out"] = _named(audio.output, STREAM_OPTIONS)
    if audio.type == "sdl" and audio.driver:
        ctx.env["SDL_AUDIODRIVER"] = audio.driver
    if audio.type == "pipewire" and audio.runtime_dir:
        ctx.env["PIPEWIRE_RUNTIME_DIR"] = audio.runtime_dir
    ctx.props("audiodev", properties)


def _named(model: Audio | Stream, names: Mapping[str, str]) -> dict[str, object]:
    values = {qemu: getattr(model, field, None) for field, qemu in names.items()}
    return {name: value for name, value in values.items() if value is not None}


def audio_id(audio: Audio) -> str:
    """QEMU's id of a backend."""
    return f"audio{audio.id}"


def audio_of(ctx: Context, wanted: int | None) -> str | None:
    """The id of the backend that a card or display uses; None when the guest has none at all."""
    found = find_audio(ctx.guest, wanted)
    if found is None and wanted is not None:
        raise Unsupported(f"there is no <audio id='{wanted}'>")
    return None if found is None else audio_id(found)


def sound(ctx: Context, card: Sound) -> None:
    """Emit one card, with its codecs where it has some."""
    audio = audio_of(ctx, card.audio)
    if card.model == "pcspk":  # a part of the machine, not a device
        if ctx.caps.has_schema(SPEAKER_PROOF):
            ctx.text("machine", f"pcspk-audiodev={audio}")
        else:
            ctx.text("soundhw", "pcspk")
        return
    alias = alias_of(card)
    ctx.props("device", {
        "driver": DRIVERS[card.model],
        "id": alias,
        "audiodev": None if card.model in WITH_CODECS else audio,
        "multi": card.multichannel,
        "streams": card.streams,
        **(virtio_props(card) if card.model == "virtio" else {}),
        **address_props(ctx, card),
    })  # fmt: skip
    codecs = [codec.type for codec in card.codecs] or ["duplex"]
    for number, kind in enumerate(codecs if card.model in WITH_CODECS else ()):
        ctx.props("device", {
            "driver": f"hda-{kind}", "id": f"{alias}-codec{number}", "bus": f"{alias}.0", "cad": number,
            "audiodev": audio,
        })  # fmt: skip
