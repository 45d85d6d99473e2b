"""A saved guest comes back with a definition of its user's own, if that is the same machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontinus.api.errors import InvalidXML
from trial import Daemon

XML = """<domain type='qemu'><name>efi</name><memory unit='MiB'>192</memory>
<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><cpu mode='maximum'/>
<devices><interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
<serial type='file'><source path='{place}/one'/></serial></devices></domain>"""


async def test_restore_as(daemon: Daemon, place: Path) -> None:
    """Its firmware was chosen at its start, so its document says both what was wanted and what it got."""
    file = str(place / "efi.save")
    async with daemon.engine() as engine:
        await engine.define(XML.format(place=place))
        await engine.start("efi")
        await engine.save("efi", file)
        saved, defined = await engine.saved_xml(file), await engine.guest_xml("efi")
        assert "firmware='efi'" in saved and "OVMF" in saved and "OVMF" not in defined
        with pytest.raises(
            InvalidXML, match="<interface> at pci .*: <mac address>: 52:54:00:00:00:01 became 52:54:00:00:00:02"
        ):
            await engine.restore(file, xml=saved.replace("00:00:01'", "00:00:02'"))
        assert (await engine.guest("efi")).state == "shutoff"
        for text in (saved, defined):
            moved = text.replace(f"{place}/one", f"{place}/two")
            assert (await engine.restore(file, xml=moved)).state == "running"
            assert f"{place}/two" in await engine.guest_xml("efi")
            await engine.save("efi", file)
        await engine.restore(file)
        await engine.destroy("efi")
