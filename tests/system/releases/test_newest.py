"""What documents of late ask for: each release starts it, or says at the definition that it lacks it; the probe decides."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from frontinus.api.errors import Unsupported
from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.linux.host import probe_facts
from support.started import paths_in
from support.whole_guest import text
from system.releases.test_releases import caps, other, seen

__all__ = ["caps", "other"]

NVME = """<disk type='file'><driver type='raw'/><source file='{place}/one'/><target dev='nvme0n1'/>
<blockio discard_granularity='4096'/></disk><disk type='file'><driver type='qcow2'/><source file='{place}/two'><dataStore>
<format type='raw'/><source file='{place}/data'/></dataStore></source><target dev='nvme0n7' bus='nvme'/></disk>"""
HISTOGRAM = """<disk type='file'><driver type='raw'><statistics><latency-histogram type='read'><bin start='0'/><bin start='1000'/>
</latency-histogram></statistics></driver><source file='{place}/one'/><target dev='vda' bus='virtio'/></disk>"""
AMD = """<iommu model='amd'><driver intremap='on' iotlb='on'/></iommu>"""
PORT = """<controller type='pci' model='pcie-root-port'><target memReserve='2048'/></controller>"""
SPLIT = {"features": "<acpi/><apic/><ioapic driver='qemu'/>"}

ASKED: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "NVMe, and data beside an image": (NVME, {}, ("nvme", "nvme-ns")),
    "a histogram": (HISTOGRAM, {}, ("virtio-blk-pci",)),
    "an IOMMU of AMD": (AMD, SPLIT, ("AMDVI-PCI",)),
    "pages of an IOMMU": ("<iommu model='virtio'><driver><granule size='4'/></driver></iommu>", {}, ("virtio-iommu-pci",)),
    "no EDID": ("<video><model type='vga' edid='off'/></video>", {}, ("VGA",)),
    "memory behind a port": (PORT, {}, ("pcie-root-port",)),
    "variables kept by QEMU": ("", {"os": "<loader type='rom'>/usr/share/seabios/bios-256k.bin</loader>"
                                          "<varstore template='{place}/vars.json' path='{place}/own.json'/>"}, ()),
}  # fmt: skip
"""Devices, other parts, and QEMU's devices that must be there then."""


@pytest.mark.parametrize("name", ASKED)
def test_it_starts_or_is_refused(other: Path, caps: Capabilities, place: Path, name: str) -> None:
    devices, parts, expected = ASKED[name]
    paths = paths_in(place)
    (place / "one").write_bytes(bytes(1 << 20))
    (place / "vars.json").write_text('{"version": 2, "variables": []}')
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={place}/data", f"{place}/two", "1M"]
    subprocess.run(make, check=True)
    document = text(**{"memory": "<memory unit='MiB'>128</memory>", **parts})
    document = document.replace("</domain>", f"<devices>{devices}</devices></domain>").replace("{place}", str(place))
    try:
        guest = complete(parse_guest(document), caps, probe_facts(paths))
    except Unsupported as error:
        assert lacks(caps, name), error
        return
    assert not lacks(caps, name), "the probe says that this release lacks it"
    found = asyncio.run(seen(guest, str(other), paths, 3))
    assert {f"child<{kind}>" for kind in expected} <= {kind for _, kind in found["devices"]}


def lacks(caps: Capabilities, name: str) -> bool:
    """What a release may lack, asked of its probe in other words than the check does."""
    properties = caps.properties.get("virtio-iommu-pci", {})
    return {
        "an IOMMU of AMD": "pci-id" not in caps.properties.get("amd-iommu", {}),
        "pages of an IOMMU": "granule" not in properties or "boot-bypass" not in properties,
        "variables kept by QEMU": "uefi-vars-x64" not in caps.types,
    }.get(name, False)
