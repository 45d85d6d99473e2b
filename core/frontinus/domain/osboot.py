"""The <os> element: what the guest's machine is, and what it boots."""

from __future__ import annotations

from frontinus.domain.devices.block.source import Source
from frontinus.xml import Model, many, one, texts, xml
from frontinus.xml.codecs import YesNo, integer, one_of


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


class Nvram(Model, tag="nvram"):
    """The variable store of a UEFI guest: a path, or a typed source."""

    template: str | None = xml("@template")
    template_format: str | None = xml("@templateFormat", one_of("raw", "qcow2"))
    type: str | None = xml("@type", one_of("file", "block", "network", "dir", "volume", "nvme"))
    format: str | None = xml("@format", one_of("raw", "qcow2"))
    path: str | None = xml("")
    source: Source | None = one("source", Source)


class VarStore(Model, tag="varstore"):
    """UEFI variables that QEMU itself keeps for the firmware, in a JSON file, made from a template at the first start."""

    template: str | None = xml("@template")
    path: str | None = xml("@path")


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
    varstore: VarStore | None = one("varstore", VarStore)
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
    def varstore_path(self) -> str | None:
        """The file of the variables that QEMU keeps."""
        return self.varstore.path if self.varstore else None

    @property
    def is_settled(self) -> bool:
        """Whether a choice of firmware is written beside the wish for it, whole, as newer releases of libvirt keep it."""
        loader = self.loader
        return bool(loader and loader.path and (loader.type == "rom" or (loader.type == "pflash" and loader.readonly)))

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
