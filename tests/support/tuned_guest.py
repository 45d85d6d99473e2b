"""A guest on the mock hypervisor that has something of everything to be tuned: g."""

from __future__ import annotations

from pathlib import Path

from frontinus.api.engine import Engine
from frontinus.engine.local import LocalEngine
from frontinus.mock.engine import ROOT

XML = """<domain type='qemu'><name>g</name><memory unit='MiB'>64</memory><vcpu current='2'>4</vcpu><iothreads>1</iothreads>
<cputune><shares>512</shares><quota>20000</quota><vcpupin vcpu='1' cpuset='0-1'/></cputune>
<memtune><hard_limit unit='MiB'>256</hard_limit></memtune>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<disk type='file'><driver type='{format}'/><source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><mac address='52:54:00:00:00:01'/></interface>
<graphics type='vnc'/><video><model type='vga'/></video>
</devices></domain>"""


async def started(local: LocalEngine, place: Path) -> Engine:
    """The facade for root, with the guest running and its disk at this place."""
    (place / "disk").write_bytes(bytes(range(256)) * 4)
    engine = local.session(ROOT)
    await engine.define(XML.format(disk=place / "disk", format="raw"))
    await engine.start("g")
    return engine
