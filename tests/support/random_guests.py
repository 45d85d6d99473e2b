"""Guests with many devices, as hypothesis draws them."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from frontinus.api.errors import InvalidXML
from frontinus.domain.guest import Guest
from support.guests import completed

LAW = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))


PLACES = st.one_of(
    st.just(""),
    st.builds("<address type='pci' bus='{:#x}' slot='{:#x}' function='{:#x}'/>".format,
              st.integers(0, 9), st.integers(0, 31), st.sampled_from([0, 0, 0, 1, 7])),
)  # fmt: skip


NICS = st.builds("<interface type='user'><model type='{}'/>{}</interface>".format,
                 st.sampled_from(["virtio", "e1000", "e1000e", "rtl8139"]), PLACES)  # fmt: skip


OTHERS = st.sampled_from([
    "<sound model='ich9'/>", "<sound model='ac97'/>", "<rng model='virtio'><backend model='random'/></rng>",
    "<watchdog model='i6300esb'/>", "<input type='tablet' bus='usb'/>", "<hub type='usb'/>",
    "<input type='keyboard' bus='virtio'/>", "<channel type='pty'><target type='virtio'/></channel>",
    "<controller type='scsi' model='virtio-scsi'/>", "<controller type='usb' model='qemu-xhci' index='4'/>",
    "<filesystem><source dir='/a'/><target dir='t'/></filesystem>", "<graphics type='vnc' port='5900'/>",
    "<serial type='pty'><target type='pci-serial'/></serial>", "<vsock model='virtio'><cid auto='yes'/></vsock>",
    "<controller type='pci' model='pcie-root-port' index='9'/>", "<memballoon model='none'/>",
    "<controller type='usb' index='1' model='ich9-ehci1'/><controller type='usb' index='1' model='ich9-uhci1'/>",
])  # fmt: skip


DISKS = st.lists(st.sampled_from(["vda", "vdb", "sda", "sdb", "sdk", "sds"]), unique=True).map(lambda names: "".join(
    f"<disk><source file='/{n}'/><target dev='{n}' bus='{'virtio' if n[0] == 'v' else 'scsi'}'/></disk>" for n in names
))  # fmt: skip


GUESTS = st.tuples(st.sampled_from(["pc", "q35"]), st.lists(st.one_of(NICS, NICS, OTHERS), max_size=14), DISKS)


def made(machine: str, devices: list[str], disks: str) -> Guest | None:
    """The completed guest; None for one that cannot be."""
    once = [d for d in devices if d.startswith(("<memballoon", "<vsock", "<graphics"))]
    if any(count > 1 for count in Counter(once).values()):
        return None
    try:
        return completed("".join(devices) + disks, machine)
    except InvalidXML:
        return None
