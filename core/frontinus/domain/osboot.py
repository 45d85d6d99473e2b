"""The <os> element: what the guest's machine is, and what it boots."""

from __future__ import annotations

from frontinus.domain.devices.base import SecurityLabel
from frontinus.xml import Model, many, one, texts, xml
from frontinus.xml.codecs import Int, UInt32, YesNo, integer, one_of


class FirmwareFeature(Model, tag="feature"):
    """A property that automatic selection must find, or must not find, in a firmware descriptor."""

    enabled: bool = xml("@enabled", YesNo, required=True)
    name: str = xml("@name", one_of("enrolled-keys", "secure-boot"), required=True)


class Loader(Model, tag="loader"):
    """The firmware image."""

    readonly: bool | None = xml("@readonly", YesNo)
    type: str | None = xml("@type", one_of("rom", "pflash"))
    secure: bool | None = xml("@secure", YesNo)
    stateless: bool | None = xml("@stateless", YesNo)
    format: str | None = xml("@format", one_of("raw", "qcow2"))
    path: str | None = xml("")


class NvramHost(Model, tag="host"):
    """A server of a network store."""

    name: str | None = xml("@name")
    port: int | None = xml("@port", Int)
    transport: str | None = xml("@transport", one_of("tcp", "unix", "rdma"))
    socket: str | None = xml("@socket")


class NvramSource(Model, tag="source"):
    """Where the variable store is kept when it is no plain file."""

    protocol: str | None = xml("@protocol")
    name: str | None = xml("@name")
    file: str | None = xml("@file")
    dev: str | None = xml("@dev")
    dir: str | None = xml("@dir")
    index: int | None = xml("@index", UInt32, live=True)
    hosts: list[NvramHost] = many("host", NvramHost)
    initiator: str | None = xml("initiator/iqn/@name")
    auth_user: str | None = xml("auth/@username")
    auth_type: str | None = xml("auth/secret/@type")
    auth_uuid: str | None = xml("auth/secret/@uuid")
    auth_usage: str | None = xml("auth/secret/@usage")
    seclabels: list[SecurityLabel] = many("seclabel", SecurityLabel)


class Nvram(Model, tag="nvram"):
    """The variable store of a UEFI guest: a path, or a typed source."""

    template: str | None = xml("@template")
    template_format: str | None = xml("@templateFormat", one_of("raw", "qcow2"))
    type: str | None = xml("@type", one_of("file", "block", "network", "dir", "volume", "nvme"))
    format: str | None = xml("@format", one_of("raw", "qcow2"))
    path: str | None = xml("")
    source: NvramSource | None = one("source", NvramSource)


class AcpiTable(Model, tag="table"):
    """An extra ACPI table."""

    type: str = xml("@type", one_of("slic", "raw", "rawset", "msdm"), required=True)
    path: str = xml("", required=True)


class Os(Model, tag="os"):
    """Machine, firmware and boot of a guest."""

    firmware: str | None = xml("@firmware", one_of("bios", "efi"))
    type: str | None = xml("type")
    arch: str | None = xml("type/@arch")
    machine: str | None = xml("type/@machine")
    features: list[FirmwareFeature] = many("firmware/feature", FirmwareFeature)
    loader: Loader | None = one("loader", Loader)
    nvram: Nvram | None = one("nvram", Nvram)
    kernel: str | None = xml("kernel")
    initrd: str | None = xml("initrd")
    cmdline: str | None = xml("cmdline")
    shim: str | None = xml("shim")
    dtb: str | None = xml("dtb")
    acpi_tables: list[AcpiTable] = many("acpi/table", AcpiTable)
    boot: list[str] = texts("boot/@dev", one_of("fd", "hd", "cdrom", "network"))
    boot_menu: bool | None = xml("bootmenu/@enable", YesNo)
    boot_menu_timeout: int | None = xml("bootmenu/@timeout", integer(0, 65535))
    bios_serial: bool | None = xml("bios/@useserial", YesNo)
    reboot_timeout: int | None = xml("bios/@rebootTimeout", integer(-1, 65535))
    smbios: str | None = xml("smbios/@mode", one_of("emulate", "host", "sysinfo"))

    @property
    def is_q35(self) -> bool:
        """Whether the machine is of the q35 family."""
        machine = self.machine or ""
        return machine == "q35" or machine.startswith("pc-q35")

    @property
    def is_i440fx(self) -> bool:
        """Whether the machine is of the i440fx family."""
        machine = self.machine or ""
        return machine in ("pc", "isapc") or machine.startswith(("pc-i440fx", "pc-0", "pc-1"))
