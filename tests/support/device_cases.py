"""Devices as XML, and what each is on the command line."""

from __future__ import annotations

from collections.abc import Callable

from frontinus.qemu.argv.devices import (
    balloon,
    crypto,
    filesystems,
    hostdevs,
    inputs,
    iommu,
    panic,
    pstore,
    rng,
    shmem,
    smartcard,
    tpm,
    usb,
    vsock,
    watchdogs,
)
from support.devices import PCI, PORT

AT = {"bus": "pci.0", "addr": "0x5"}
ON_USB = {"bus": "usb.0", "port": "2"}
DRIVE = "<address type='drive' controller='0' bus='0' target='0' unit='3'/>"
ON_SCSI = {"bus": "scsi0.0", "channel": 0, "scsi-id": 0, "lun": 3}
CELLS = "<maxMemory slots='4' unit='GiB'>4</maxMemory><cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/></numa></cpu>"

Emit = Callable[..., None]
Items = list[tuple[str, object]]

CASES: dict[str, tuple[str, Emit, str, Items]] = {
    "9p": (
        f"""<filesystem type='mount' accessmode='mapped' model='virtio-transitional' multidevs='remap' fmode='644'
        dmode='755'><driver type='path' wrpolicy='immediate' packed='on' page_per_vq='off'/><source dir='/export,1'/>
        <target dir='tag'/><readonly/><space_hard_limit unit='GiB'>1</space_hard_limit>
        <space_soft_limit unit='GiB'>1</space_soft_limit>{PCI}</filesystem>""",
        filesystems.filesystem, "fs0", [
            ("fsdev", {"fsdriver": "local", "security_model": "mapped", "multidevs": "remap", "fmode": "0644",
                       "dmode": "0755", "writeout": "immediate", "id": "fsdev-fs0", "path": "/export,1",
                       "readonly": True}),
            ("device", {"driver": "virtio-9p-pci-transitional", "packed": True, "page-per-vq": False, "id": "fs0",
                        "fsdev": "fsdev-fs0", "mount_tag": "tag", **AT})]),
    "9p squash": (
        f"<filesystem accessmode='squash'><source dir='/a'/><target dir='t'/>{PCI}</filesystem>",
        filesystems.filesystem, "fs0", [
            ("fsdev", {"fsdriver": "local", "security_model": "none", "id": "fsdev-fs0", "path": "/a"}),
            ("device", {"driver": "virtio-9p-pci", "id": "fs0", "fsdev": "fsdev-fs0", "mount_tag": "t", **AT})]),
    "virtiofs of others": (
        f"""<filesystem type='mount'><driver type='virtiofs' queue='512'/><source socket='/run/fs'/><target dir='t'/>
        <boot order='3'/>{PCI}</filesystem>""",
        filesystems.filesystem, "fs0", [
            ("chardev", {"backend": "socket", "id": "chr-vu-fs0", "path": "/run/fs"}),
            ("device", {"driver": "vhost-user-fs-pci", "id": "fs0", "chardev": "chr-vu-fs0", "queue-size": 512,
                        "tag": "t", "bootindex": 3, **AT})]),
    "tablet": (f"<input type='tablet'>{PORT}</input>", inputs.input_device, "input0",
               [("device", {"driver": "usb-tablet", "id": "input0", **ON_USB})]),
    "usb keyboard": (f"<input type='keyboard' bus='usb'>{PORT}</input>", inputs.input_device, "input0",
                     [("device", {"driver": "usb-kbd", "id": "input0", **ON_USB})]),
    "ps2 mouse": ("<input type='mouse'/>", inputs.input_device, "input0", []),
    "virtio mouse": (
        f"<input type='mouse' bus='virtio' model='virtio'><driver iommu='on' ats='off'/>{PCI}</input>",
        inputs.input_device, "input0",
        [("device", {"driver": "virtio-mouse-pci", "iommu_platform": True, "ats": False, "id": "input0", **AT})]),
    "host input": (
        f"<input type='passthrough'><source evdev='/dev/input/event9'/>{PCI}</input>", inputs.input_device, "input0",
        [("device", {"driver": "virtio-input-host-pci", "id": "input0", "evdev": "/dev/input/event9", **AT})]),
    "evdev": (
        "<input type='evdev'><source dev='/dev/input/event9' grab='all' grabToggle='alt-alt' repeat='on'/></input>",
        inputs.input_device, "input0",
        [("object", {"qom-type": "input-linux", "id": "input0", "evdev": "/dev/input/event9", "repeat": True,
                     "grab_all": True, "grab-toggle": "alt-alt"})]),
    "tpm of others": (
        "<tpm model='tpm-crb'><backend type='external'><source type='unix' mode='connect' path='/run/tpm'/></backend></tpm>",
        tpm.tpm, "tpm0", [
            ("chardev", {"backend": "socket", "id": "chrtpm", "path": "/run/tpm"}),
            ("tpmdev", {"type": "emulator", "id": "tpm-tpm0", "chardev": "chrtpm"}),
            ("device", {"driver": "tpm-crb", "tpmdev": "tpm-tpm0", "id": "tpm0"})]),
    "pci": (
        f"""<hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio'/>
        <source><address domain='0x0001' bus='0x06' slot='0x12' function='0x5'/></source>
        <teaming type='transient' persistent='ua-net'/><boot order='2'/><rom bar='off' file='/rom.bin'/>
        <acpi index='7'/>{PCI}</hostdev>""",
        hostdevs.hostdev, "hostdev0",
        [("device", {"driver": "vfio-pci", "host": "0001:06:12.5", "id": "hostdev0", "bootindex": 2,
                     "failover_pair_id": "ua-net", **AT, "acpi-index": 7, "rombar": 0, "romfile": "/rom.bin"})]),
    "pci with a picture": (
        f"""<hostdev type='pci' managed='yes' display='on' ramfb='on'><driver name='vfio' model='i915_vfio' iommufd='no'/>
        <source><address bus='0x06' slot='0x12' function='0x5'/></source><acpi nodeset='0'/>{PCI}</hostdev>""",
        hostdevs.hostdev, "hostdev0",
        [("device", {"driver": "vfio-pci-nohotplug", "host": "0000:06:12.5", "id": "hostdev0", **AT, "display": "on",
                     "ramfb": True}),
         ("object", {"qom-type": "acpi-generic-initiator", "id": "hostdev0-node0", "pci-dev": "hostdev0", "node": 0})]),
    "pci without rom": (
        f"""<hostdev type='pci'><source><address bus='0x06' slot='0x00' function='0x0'/></source>
        <rom enabled='no'/>{PCI}</hostdev>""",
        hostdevs.hostdev, "hostdev0",
        [("device", {"driver": "vfio-pci", "host": "0000:06:00.0", "id": "hostdev0", **AT, "romfile": ""})]),
    "pci unassigned": (
        """<hostdev type='pci' managed='yes'><source><address bus='0x06' slot='0x12' function='0x5'/></source>
        <address type='unassigned'/></hostdev>""", hostdevs.hostdev, "hostdev0", []),
    "usb by place": (
        f"""<hostdev mode='subsystem' type='usb'><source guestReset='uninitialized'><address bus='14' device='6'/></source>
        <boot order='1'/>{PORT}</hostdev>""",
        hostdevs.hostdev, "hostdev0",
        [("device", {"driver": "usb-host", "hostdevice": "/dev/bus/usb/014/006", "id": "hostdev0", "bootindex": 1,
                     "guest-reset": True, "guest-resets-all": False, **ON_USB})]),
    "usb by name": (
        f"<hostdev type='usb'><source><vendor id='0x1234'/><product id='0x0000'/></source>{PORT}</hostdev>",
        hostdevs.hostdev, "hostdev0",
        [("device", {"driver": "usb-host", "vendorid": 0x1234, "productid": 0, "id": "hostdev0", **ON_USB})]),
    "iscsi": (
        f"""<hostdev type='scsi'><source protocol='iscsi' name='iqn.2000-01.org:disk'><host name='example.org'/>
        <auth username='me'><secret type='iscsi' usage='libre'/></auth>
        <initiator><iqn name='iqn.2000-01.org:me'/></initiator></source><readonly/><shareable/>{DRIVE}</hostdev>""",
        hostdevs.hostdev, "hostdev0", [
            ("object", {"qom-type": "secret", "id": "frontinus-hostdev0-backend-auth-secret0",
                        "data": "AAAAAAAAAAAAAAAAAAAAAA==", "keyid": "masterKey0", "iv": "AAAAAAAAAAAAAAAAAAAAAA==",
                        "format": "base64"}),
            ("blockdev", {"driver": "iscsi", "portal": "example.org:3260", "target": "iqn.2000-01.org:disk", "lun": 0,
                          "transport": "tcp", "user": "me",
                          "password-secret": "frontinus-hostdev0-backend-auth-secret0",
                          "initiator-name": "iqn.2000-01.org:me", "node-name": "frontinus-hostdev0-backend",
                          "read-only": True}),
            ("device", {"driver": "scsi-generic", "drive": "frontinus-hostdev0-backend", "id": "hostdev0",
                        **ON_SCSI})]),
    "mdev": (
        f"""<hostdev type='mdev' model='vfio-pci' display='on' ramfb='on'>
        <source><address uuid='53764d0e-85a0-42b4-af5c-2046b460b1dc'/></source>{PCI}</hostdev>""",
        hostdevs.hostdev, "hostdev0",
        [("device", {"driver": "vfio-pci-nohotplug", "id": "hostdev0",
                     "sysfsdev": "/sys/bus/mdev/devices/53764d0e-85a0-42b4-af5c-2046b460b1dc", "display": "on",
                     "ramfb": True, **AT})]),
    "hub": (f"<hub type='usb'>{PORT}</hub>", usb.hub, "hub0",
            [("device", {"driver": "usb-hub", "id": "hub0", **ON_USB})]),
    "redirdev": (
        f"""<redirdev bus='usb' type='tcp'><source mode='connect' host='far' service='4000'/><protocol type='raw'/>
        <boot order='5'/>{PORT}</redirdev><redirfilter>
        <usbdev class='0x08' vendor='0x1234' product='0xBEEF' version='2.0' allow='yes'/>
        <usbdev class='-1' version='1.15' allow='no'/><usbdev allow='no'/></redirfilter>""",
        usb.redirdev, "redir0", [
            ("chardev", {"backend": "socket", "id": "charredir0", "host": "far", "port": "4000"}),
            ("device", {"driver": "usb-redir", "chardev": "charredir0", "id": "redir0",
                        "filter": "0x08:0x1234:0xBEEF:0x0200:1|-1:-1:-1:0x0115:0|-1:-1:-1:-1:0",
                        "bootindex": 5, **ON_USB})]),
    "i6300esb": (f"<watchdog model='i6300esb' action='inject-nmi'>{PCI}</watchdog>", watchdogs.watchdog, "watchdog0",
                 [("device", {"driver": "i6300esb", "id": "watchdog0", **AT})]),
    "itco": ("<watchdog model='itco'/>", watchdogs.watchdog, "watchdog0",
             [("global", "ICH9-LPC.noreboot=off")]),
    "balloon": (
        f"""<memballoon model='virtio-transitional' autodeflate='on' freePageReporting='off'><stats period='10'/>
        <driver packed='off'/>{PCI}</memballoon>""",
        balloon.memballoon, "balloon0",
        [("device", {"driver": "virtio-balloon-pci-transitional", "packed": False, "id": "balloon0",
                     "deflate-on-oom": True, "free-page-reporting": False, **AT})]),
    "no balloon": ("<memballoon model='none'/>", balloon.memballoon, "balloon0", []),
    "rng": (
        f"<rng model='virtio-transitional'><rate bytes='123'/><backend model='random'/>{PCI}</rng>", rng.rng, "rng0", [
            ("object", {"qom-type": "rng-random", "id": "objrng0", "filename": "/dev/random"}),
            ("device", {"driver": "virtio-rng-pci-transitional", "rng": "objrng0", "id": "rng0", "max-bytes": 123,
                        "period": 1000, **AT})]),
    "builtin rng": (
        f"<rng model='virtio'><rate period='5'/><backend model='builtin'/>{PCI}</rng>", rng.rng, "rng0", [
            ("object", {"qom-type": "rng-builtin", "id": "objrng0"}),
            ("device", {"driver": "virtio-rng-pci", "rng": "objrng0", "id": "rng0", **AT})]),
    "egd": (
        f"""<rng model='virtio'><rate bytes='9' period='77'/><backend model='egd' type='tcp'>
        <source mode='connect' host='h' service='1'/><protocol type='raw'/></backend><driver ats='on'/>{PCI}</rng>""",
        rng.rng, "rng0", [
            ("chardev", {"backend": "socket", "id": "charrng0", "host": "h", "port": "1"}),
            ("object", {"qom-type": "rng-egd", "id": "objrng0", "chardev": "charrng0"}),
            ("device", {"driver": "virtio-rng-pci", "ats": True, "rng": "objrng0", "id": "rng0", "max-bytes": 9,
                        "period": 77, **AT})]),
    "plain shmem": (
        f"<shmem name='s' role='peer'><model type='ivshmem-plain'/><size unit='M'>8</size>{PCI}</shmem>",
        shmem.shmem, "shmem0", [
            ("object", {"qom-type": "memory-backend-file", "id": "shmmem-shmem0", "mem-path": "/dev/shm/s",
                        "size": 8 << 20, "share": True}),
            ("device", {"driver": "ivshmem-plain", "id": "shmem0", "memdev": "shmmem-shmem0", "master": "off", **AT})]),
    "doorbell": (
        f"<shmem name='s'><model type='ivshmem-doorbell'/><server/><msi vectors='4'/>{PCI}</shmem>",
        shmem.shmem, "shmem0", [
            ("chardev", {"backend": "socket", "id": "charshmem0", "path": "/state/shmem-s-sock"}),
            ("device", {"driver": "ivshmem-doorbell", "id": "shmem0", "chardev": "charshmem0", "vectors": 4,
                        "ioeventfd": True, **AT})]),
    "legacy shmem": (
        f"<shmem name='s'>{PCI}</shmem>", shmem.shmem, "shmem0",
        [("device", {"driver": "ivshmem", "id": "shmem0", "size": "4m", "shm": "s", **AT})]),
    "legacy shmem with server": (
        f"<shmem name='s'><server path='/run/s'/><msi ioeventfd='off'/>{PCI}</shmem>", shmem.shmem, "shmem0", [
            ("chardev", {"backend": "socket", "id": "charshmem0", "path": "/run/s"}),
            ("device", {"driver": "ivshmem", "id": "shmem0", "size": "4m", "msi": True, "chardev": "charshmem0",
                        "ioeventfd": False, **AT})]),
    "isa panic": ("<panic model='isa'><address type='isa' iobase='0x505'/></panic>", panic.panic, "panic0",
                  [("device", {"driver": "pvpanic", "ioport": 0x505})]),
    "panic": ("<panic/>", panic.panic, "panic0", [("device", {"driver": "pvpanic"})]),
    "pci panic": (f"<panic model='pvpanic'>{PCI}</panic>", panic.panic, "panic0",
                  [("device", {"driver": "pvpanic-pci", **AT})]),
    "hyperv panic": ("<panic model='hyperv'/>", panic.panic, "panic0", []),
    "intel iommu": (
        """<iommu model='intel'><driver intremap='on' caching_mode='off' eim='on' iotlb='on' aw_bits='48'
        dma_translation='off'/></iommu>""",
        iommu.iommu, "iommu0",
        [("device", {"driver": "intel-iommu", "id": "iommu0", "intremap": "on", "caching-mode": False, "eim": "on",
                     "device-iotlb": True, "aw-bits": 48, "dma-translation": False})]),
    "virtio iommu": (
        f"<iommu model='virtio'><driver><granule mode='host'/></driver>{PCI}</iommu>", iommu.iommu, "iommu0",
        [("device", {"driver": "virtio-iommu", "id": "iommu0", "granule": "host", **AT})]),
    "virtio iommu of large pages": (
        f"<iommu model='virtio'><driver aw_bits='48'><granule size='64' unit='KiB'/></driver>{PCI}</iommu>",
        iommu.iommu, "iommu0",
        [("device", {"driver": "virtio-iommu", "id": "iommu0", "granule": "64k", "aw-bits": 48, **AT})]),
    "amd iommu": (
        f"""<iommu model='amd'><driver intremap='on' iotlb='on' dma_translation='off' xtsup='on' passthrough='on'/>
        {PCI}</iommu>""", iommu.iommu, "iommu0",
        [("device", {"driver": "AMDVI-PCI", "id": "iommu0", **AT}),
         ("device", {"driver": "amd-iommu", "pci-id": "iommu0", "intremap": "on", "device-iotlb": True, "pt": True,
                     "xtsup": True, "dma-translation": False})]),
    "vsock": (
        f"<vsock model='virtio'><cid auto='no' address='77'/><driver iommu='on'/>{PCI}</vsock>", vsock.vsock, "vsock0",
        [("device", {"driver": "vhost-vsock-pci", "iommu_platform": True, "id": "vsock0", "guest-cid": 77,
                     "vhostfd": "3", **AT})]),
    "host smartcard": (
        "<smartcard mode='host'><address type='ccid' controller='0' slot='0'/></smartcard>",
        smartcard.smartcard, "smartcard0",
        [("device", {"driver": "ccid-card-emulated", "backend": "nss-emulated", "id": "smartcard0", "bus": "ccid0.0"})]),
    "certificates": (
        """<smartcard mode='host-certificates'><certificate>a</certificate><certificate>b</certificate>
        <certificate>c</certificate><database>/nss</database><address type='ccid' controller='0' slot='0'/></smartcard>""",
        smartcard.smartcard, "smartcard0",
        [("device", {"driver": "ccid-card-emulated", "backend": "certificates", "cert1": "a", "cert2": "b",
                     "cert3": "c", "db": "/nss", "id": "smartcard0", "bus": "ccid0.0"})]),
    "card of a client": (
        """<smartcard mode='passthrough' type='tcp'><source mode='connect' host='h' service='2001'/>
        <protocol type='raw'/><address type='ccid' controller='0' slot='0'/></smartcard>""",
        smartcard.smartcard, "smartcard0", [
            ("chardev", {"backend": "socket", "id": "charsmartcard0", "host": "h", "port": "2001"}),
            ("device", {"driver": "ccid-card-passthru", "chardev": "charsmartcard0", "id": "smartcard0",
                        "bus": "ccid0.0"})]),
    "crypto": (
        f"<crypto model='virtio' type='qemu'><backend model='builtin' queues='1'/><driver packed='on'/>{PCI}</crypto>",
        crypto.crypto, "crypto0", [
            ("object", {"qom-type": "cryptodev-backend-builtin", "id": "objcrypto0", "queues": 1}),
            ("device", {"driver": "virtio-crypto-pci", "packed": True, "cryptodev": "objcrypto0", "id": "crypto0",
                        **AT})]),
    "pstore": (
        f"<pstore backend='acpi-erst'><path>/erst</path><size unit='KiB'>64</size>{PCI}</pstore>", pstore.pstore,
        "pstore0", [
            ("object", {"qom-type": "memory-backend-file", "id": "mempstore0", "mem-path": "/erst", "share": True,
                        "size": 65536}),
            ("device", {"driver": "acpi-erst", "id": "pstore0", "memdev": "mempstore0", **AT})]),
}  # fmt: skip
