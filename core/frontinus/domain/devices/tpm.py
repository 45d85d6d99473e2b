"""The <tpm> device: the host's chip, swtpm beside QEMU, or an emulator that somebody else runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontinus.domain.devices.base import Device
from frontinus.domain.devices.rules import placed
from frontinus.domain.reasons import Lacking
from frontinus.xml import Flag, Model, Variants, one, xml
from frontinus.xml.codecs import UInt32, Uuid, YesNo, one_of

if TYPE_CHECKING:
    from frontinus.domain.capabilities import Capabilities
    from frontinus.domain.guest import Guest
    from frontinus.domain.host import HostFacts

VERSIONS = ("1.2", "2.0")
BANKS = ("sha1", "sha256", "sha384", "sha512")
REMOVALS = ("check", "fips-host")
"""What swtpm may leave out of a profile: what the host's library has disabled."""
FOREIGN = ("tpm-spapr", "spapr-tpm-proxy")
DEFAULT_DEVICE = "/dev/tpm0"


class Profile(Model, tag="profile"):
    """What a chip can do, fixed when it is made: a profile of swtpm by its name, or by `source`: local:x, builtin:x."""

    source: str | None = xml("@source")
    remove_disabled: str | None = xml("@removeDisabled", one_of(*REMOVALS))
    name: str | None = xml("@name")


class Backend(Model, tag="backend"):
    """What stands behind the guest's chip. `kind` is QEMU's word for it."""

    type: str = xml("@type")
    version: str | None = xml("@version", one_of(*VERSIONS))

    @property
    def kind(self) -> str:
        return "emulator"

    def complete(self, model: str) -> None:
        """Fill in what was left open; the version is the emulator's alone."""
        self.version = None

    def check(self, model: str) -> Iterator[str]:
        """Reasons why this backend cannot be behind that model."""
        return iter(())


class PassthroughBackend(Backend, tag="backend"):
    """The host's chip."""

    type: str = xml("@type", default="passthrough")
    device: str | None = xml("device/@path")

    @property
    def kind(self) -> str:
        return "passthrough"

    def complete(self, model: str) -> None:
        super().complete(model)
        self.device = self.device or DEFAULT_DEVICE


class EmulatorBackend(Backend, tag="backend"):
    """swtpm, run by us. Its state is kept by the guest's UUID, or at `path` (a file or a directory)."""

    type: str = xml("@type", default="emulator")
    persistent: bool | None = xml("@persistent_state", YesNo)
    debug: int | None = xml("@debug", UInt32)
    source_type: str | None = xml("source/@type", one_of("dir", "file"))
    source_path: str | None = xml("source/@path")
    secret: str | None = xml("encryption/@secret", Uuid, needed=True)
    sha1: bool = xml("active_pcr_banks/sha1", Flag)
    sha256: bool = xml("active_pcr_banks/sha256", Flag)
    sha384: bool = xml("active_pcr_banks/sha384", Flag)
    sha512: bool = xml("active_pcr_banks/sha512", Flag)
    profile: Profile | None = one("profile", Profile)

    @property
    def banks(self) -> list[str]:
        """The PCR banks that are active; empty: swtpm's choice."""
        return [bank for bank in BANKS if getattr(self, bank)]

    def complete(self, model: str) -> None:
        # Version 1.2 behind TIS was the first that there was, and guests have state of it.
        self.version = self.version or ("1.2" if model == "tpm-tis" else "2.0")
        self.persistent = self.persistent or None

    def check(self, model: str) -> Iterator[str]:
        if self.version == "1.2" and model == "tpm-crb":
            yield "<tpm>: model 'tpm-crb' has no version 1.2"
        if self.banks and self.version != "2.0":
            yield "<tpm>: <active_pcr_banks> are of version 2.0"
        if self.profile is not None and self.version != "2.0":
            yield "<tpm>: a <profile> is of version 2.0"
        if self.profile is not None and not (self.profile.source or self.profile.name):
            yield "<tpm>: <profile> needs a source"
        for unknown in self.kept:
            if unknown.path == ("active_pcr_banks",):
                yield f"<tpm>: unknown PCR bank '{unknown.name}'"
        if bool(self.source_type) != bool(self.source_path):
            yield "<tpm>: <source> of an emulator needs type and path"
        if "," in (self.source_path or ""):
            yield f"<tpm>: '{self.source_path}': swtpm takes no path with a comma"


class ExternalBackend(Backend, tag="backend"):
    """An emulator that listens on a unix socket."""

    type: str = xml("@type", default="external")
    source_type: str | None = xml("source/@type", one_of("unix"))
    mode: str | None = xml("source/@mode", one_of("connect"))
    path: str | None = xml("source/@path")

    def check(self, model: str) -> Iterator[str]:
        if self.source_type is None or not self.path:
            yield "<tpm>: backend 'external' needs a <source> of type 'unix' with a path"


BACKENDS = Variants(
    "type", {"passthrough": PassthroughBackend, "emulator": EmulatorBackend, "external": ExternalBackend}
)


class Tpm(Device, tag="tpm"):
    """A <tpm> element."""

    model: str | None = xml("@model", one_of("tpm-tis", "tpm-crb", *FOREIGN))
    backend: Backend | None = one("backend", BACKENDS)

    def complete(self, guest: Guest, caps: Capabilities, host: HostFacts) -> None:
        self.model = self.model or "tpm-tis"
        if self.backend is not None:
            self.backend.complete(self.model)

    def check(self, guest: Guest, caps: Capabilities) -> Iterator[str]:
        if self.backend is None or any(unknown.name == "backend" for unknown in self.kept):
            yield "<tpm>: exactly one <backend> is needed"
            return
        if self.model in FOREIGN:
            yield f"<tpm>: model '{self.model}' exists on POWER machines alone"
            return
        if self.model not in caps.tpm_models:
            yield Lacking(f"<tpm>: model '{self.model}' is not supported by this QEMU")
        if self.backend.kind not in caps.tpm_types:
            yield Lacking(f"<tpm>: backend '{self.backend.type}' is not supported by this QEMU")
        if len(guest.devices.tpms) > 1 and guest.devices.tpms[0] is self:
            yield "<tpm>: only one is possible"
        yield from placed("<tpm>", self.address, "isa")
        yield from self.backend.check(self.model or "tpm-tis")
