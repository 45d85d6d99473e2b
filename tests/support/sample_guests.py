"""Guests that have, together, every kind of device and most of what is outside devices: small, so that one word can be
added to each at a time."""

from __future__ import annotations

from collections.abc import Iterator

from support.device_cases import CASES
from support.devices import PCI, PORT

HEAD = """<domain type='{kind}'><name>a</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>{memory}
<os><type arch='x86_64' machine='{machine}'>hvm</type>{os}</os><features><acpi/>{features}</features>{more}
<devices>{devices}</devices></domain>"""
CELL = "<cpu><numa><cell id='0' cpus='0' memory='512' unit='MiB'/></numa></cpu>"
ROOM = "<maxMemory slots='4' unit='GiB'>4</maxMemory>"
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"


def guest(devices: str = "", *, kind: str = "qemu", machine: str = "q35", os: str = "", features: str = "", more: str = "",
          memory: str = "<memory unit='MiB'>512</memory>") -> str:  # fmt: skip
    return HEAD.format(kind=kind, machine=machine, os=os, features=features, more=more, devices=devices, memory=memory)


def disk(target: str = "dev='vda' bus='virtio'", source: str = "file='/a'", inside: str = "", beside: str = "",
         driver: str = "type='raw'", attributes: str = "type='file' device='disk'") -> str:  # fmt: skip
    return (f"<disk {attributes}><driver name='qemu' {driver}/><source {source}>{inside}</source>{beside}"
            f"<target {target}/></disk>")  # fmt: skip


def far(protocol: str, inside: str = "<host name='h' port='1'/>", name: str = "x") -> str:
    return disk(source=f"protocol='{protocol}' name='{name}'", inside=inside, attributes="type='network' device='disk'")


QCOW = "type='qcow2'"
SECRET = "<secret type='{}' usage='s'/>"
TYPES: tuple[tuple[str, str], ...] = (
    ("pty", ""), ("file", "<source path='/f'/>"), ("unix", "<source mode='connect' path='/u'/>"), ("null", ""),
    ("tcp", "<source mode='connect' host='h' service='1'><reconnect enabled='yes' timeout='3'/></source><protocol type='raw'/>"),
    ("udp", "<source mode='connect' host='h' service='1'/><source mode='bind' host='i' service='2'/>"),
    ("dev", "<source path='/dev/ttyS0'/>"),
)  # fmt: skip
DISKS = (
    disk(driver=QCOW), disk("dev='sda' bus='scsi'", driver=QCOW), disk("dev='sda' bus='sata'"), disk("dev='sda' bus='usb'"),
    disk("dev='sda' bus='scsi'", "dev='/dev/z'", attributes="type='block' device='lun'"),
    disk("dev='sda' bus='sata'", attributes="type='file' device='cdrom'"),
    disk("dev='fda' bus='fdc'", attributes="type='file' device='floppy'"),
    far("nbd"), far("rbd", f"<host name='h' port='1'/><auth username='u'>{SECRET.format('ceph')}</auth>", "p/x"),
    far("iscsi", f"""<host name='h'/><auth username='u'>{SECRET.format('iscsi')}</auth><initiator><iqn name='iqn.a:b'/>
    </initiator>""", "iqn.2000-01.org:d/1"),
    far("https", "<host name='h'/><cookies><cookie name='a'>b</cookie></cookies>"), far("ssh", "<host name='h'/>"),
    far("nfs", "<host name='h'/><identity user='1' group='2'/>"),
    far("gluster", "<host name='h' port='1' transport='tcp'/>", "v/x"),
    disk(source="type='pci' managed='yes' namespace='1'", inside="<address domain='0' bus='1' slot='0' function='0'/>",
         attributes="type='nvme' device='disk'"),
    disk(driver=QCOW, inside="<slices><slice type='storage' offset='512' size='512'/></slices>"
         f"<encryption format='luks'>{SECRET.format('passphrase')}</encryption>"),
    disk(driver=QCOW, inside="<dataStore type='file'><format type='raw'/><source file='/d'/></dataStore>"),
    disk("dev='hda' bus='sata'", beside="<geometry cyls='100' heads='16' secs='63'/><blockio logical_block_size='512'/>"
         "<iotune><total_bytes_sec>5000</total_bytes_sec><total_bytes_sec_max>6000</total_bytes_sec_max></iotune>"),
    """<disk type='file' device='disk'><driver name='qemu' type='qcow2' queues='2'><iothreads><iothread id='1'>
    <queue id='0'/></iothread><iothread id='2'><queue id='1'/></iothread></iothreads>
    <metadata_cache><max_size>5</max_size></metadata_cache></driver><source file='/a'/>
    <backingStore type='file'><format type='qcow2'/><source file='/b'/><backingStore/></backingStore><transient/>
    <target dev='vda' bus='virtio'/></disk>""",
    disk("dev='sda' bus='scsi'", "dev='/dev/x'", """<reservations managed='no'><source type='unix' path='/pr' mode='client'/>
    </reservations>""", attributes="type='block' device='lun'"),
)  # fmt: skip
VIRTIO = "<model type='virtio'/>"
CARDS = (
    f"<interface type='user'>{VIRTIO}</interface>", "<interface type='user'><model type='e1000'/></interface>",
    f"""<interface type='user'><backend type='passt'/>{VIRTIO}<portForward proto='tcp' address='10.0.0.1'>
    <range start='1' end='2' to='5'/></portForward><ip address='10.0.2.0' prefix='24'/></interface>""",
    f"<interface type='user'>{VIRTIO}<ip address='10.0.2.0' prefix='24'/></interface>",
    f"<interface type='bridge'><source bridge='br0'/>{VIRTIO}</interface>",
    f"""<interface type='bridge'><source bridge='br0'/>{VIRTIO}<bandwidth><inbound average='10' peak='20' burst='5'/>
    <outbound average='10'/></bandwidth><filterref filter='f'><parameter name='A' value='1'/></filterref></interface>""",
    f"""<interface type='bridge'><source bridge='br0'/>{VIRTIO}<vlan><tag id='5'/></vlan><virtualport type='openvswitch'/>
    </interface>""",
    f"""<interface type='ethernet'>{VIRTIO}<source><ip address='10.0.2.1' prefix='24' peer='10.0.2.2'/>
    <route address='10.1.0.0' prefix='16' gateway='10.0.2.2'/></source></interface>""",
    f"<interface type='direct'><source dev='eth0' mode='bridge'/>{VIRTIO}</interface>",
    f"<interface type='direct'><source dev='eth0' mode='passthrough'/>{VIRTIO}<vlan><tag id='5'/></vlan></interface>",
    f"""<interface type='vhostuser'><source type='unix' path='/s' mode='client'><reconnect enabled='yes' timeout='1'/></source>
    {VIRTIO}</interface>""",
    f"<interface type='udp'><source address='1.2.3.4' port='5'><local address='1.2.3.5' port='6'/></source>{VIRTIO}</interface>",
    *(f"<interface type='{kind}'><source address='230.2.3.4' port='5'/>{VIRTIO}</interface>"
      for kind in ("server", "client", "mcast")),
    f"<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/>{VIRTIO}</interface>",
    """<interface type='hostdev' managed='yes'><source><address type='pci' domain='0' bus='1' slot='2' function='0'/></source>
    <mac address='52:54:00:00:00:01'/></interface>""",
    f"<interface type='network'><source network='default'/>{VIRTIO}</interface>",
)  # fmt: skip
DISPLAYS = {
    "vnc": "<listen type='address' address='127.0.0.1'/>", "sdl": "", "egl-headless": "", "dbus": "",
    "spice": "<listen type='address' address='127.0.0.1'/><channel name='main' mode='insecure'/>",
}  # fmt: skip
STREAM = "mixingEngine='yes' fixedSettings='yes'><settings frequency='44100' channels='2' format='s16'/>"
CONTROLLERS = (
    "type='usb' model='qemu-xhci'", "type='scsi' model='virtio-scsi'", "type='scsi' model='lsilogic'", "type='virtio-serial'",
    "type='sata'", "type='ccid'", "type='pci' model='pcie-root-port'", "type='pci' model='pcie-expander-bus'", "type='nvme'",
    "type='pci' index='0' model='pcie-root'",
)  # fmt: skip
MODULE = "<memory model='{}'>{}<target><size unit='MiB'>128</size><node>0</node>{}</target></memory>"
MODULES = (
    MODULE.format("dimm", "<source><pagesize unit='KiB'>2048</pagesize><nodemask>1</nodemask></source>", ""),
    MODULE.format("nvdimm", "<source><path>/n</path></source>", "<label><size unit='KiB'>128</size></label>"),
    MODULE.format("virtio-mem", "", "<block unit='MiB'>2</block><requested unit='MiB'>64</requested>"),
    """<memory model='virtio-pmem' access='shared'><source><path>/p</path></source><target><size unit='MiB'>16</size></target>
    </memory>""",
)  # fmt: skip
TPMS = (
    "<backend type='emulator'/>", "<backend type='passthrough'><device path='/dev/tpm0'/></backend>",
    """<backend type='emulator' version='2.0'><source type='dir' path='/t'/><active_pcr_banks><sha1/></active_pcr_banks>
    <profile name='p'/><encryption secret='32ee7e76-2178-47a1-ab7b-269e6e348015'/></backend>""",
)  # fmt: skip
VIRTIOFS = """<filesystem type='mount'><driver type='virtiofs' queue='1024'/><binary path='/v'><cache mode='always'/>
<sandbox mode='chroot'/><lock posix='on'/><thread_pool size='1'/></binary><source dir='/p'/><target dir='t'/>
<idmap><uid start='0' target='1' count='1'/><gid start='0' target='1' count='1'/></idmap></filesystem>"""
OUTSIDE = (
    """<vcpu current='1'>2</vcpu><clock offset='utc'><timer name='rtc'/><timer name='hpet'/><timer name='pit'/>
    <timer name='kvmclock'/><timer name='tsc'/></clock><pm/><on_crash>destroy</on_crash>""",
    """<vcpu>2</vcpu><clock offset='variable' adjustment='5'/><cputune><shares>5</shares><vcpupin vcpu='0' cpuset='0'/>
    <emulatorpin cpuset='0'/><vcpusched vcpus='0' scheduler='idle'/><emulatorsched scheduler='idle'/></cputune>
    <numatune><memory mode='strict' nodeset='0'/></numatune><memtune><hard_limit>1024</hard_limit></memtune>
    <blkiotune><weight>500</weight><device><path>/a</path><weight>200</weight></device></blkiotune>""",
    """<memoryBacking><hugepages><page size='2' unit='MiB'/></hugepages></memoryBacking><iothreads>1</iothreads><iothreadids>
    <iothread id='1'><poll max='1'/></iothread></iothreadids><defaultiothread thread_pool_min='1' thread_pool_max='5'/>
    <cputune><iothreadpin iothread='1' cpuset='0'/><iothreadsched iothreads='1' scheduler='idle'/></cputune>""",
    "<memoryBacking><source type='file'/><allocation mode='immediate'/></memoryBacking>",
    """<cpu mode='custom'><model>Nehalem</model><feature name='vmx' policy='disable'/>
    <topology sockets='1' dies='1' clusters='1' cores='1' threads='1'/><cache mode='emulate' level='3'/></cpu>""",
    """<vcpu>2</vcpu><cpu><numa><cell id='0' cpus='0' memory='256' unit='MiB'><distances><sibling id='0' value='10'/>
    <sibling id='1' value='20'/></distances><cache level='1' associativity='direct' policy='writeback'>
    <size value='10' unit='KiB'/><line value='8' unit='B'/></cache></cell><cell id='1' cpus='1' memory='256' unit='MiB'/>
    <interconnects><latency initiator='0' target='0' cache='1' type='access' value='5'/>
    <bandwidth initiator='0' target='1' type='access' value='1' unit='GiB'/></interconnects></numa></cpu>
    <numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>
    <memoryBacking><source type='file'/><discard/></memoryBacking>""",
    """<resource><partition>/machine</partition></resource><perf><event name='cmt' enabled='no'/></perf>
    <seclabel type='none'/><vcpus><vcpu id='0' enabled='yes'/></vcpus><memtune><soft_limit>1024</soft_limit></memtune>""",
)  # fmt: skip
ONLY_KVM = (
    "<cpu mode='host-passthrough'><maxphysaddr mode='emulate' bits='40'/></cpu>", "<cpu mode='host-model'/>",
    """<vcpu>2</vcpu><cputune><cachetune vcpus='0'><cache id='0' level='3' type='both' size='3' unit='MiB'/>
    <monitor level='3' vcpus='0'/></cachetune><memorytune vcpus='1'><node id='0' bandwidth='60'/></memorytune></cputune>""",
)  # fmt: skip
ENLIGHTENED = """<apic/><hyperv mode='custom'><relaxed state='on'/><vapic state='on'/><vpindex state='on'/><synic state='on'/>
<spinlocks state='on' retries='4096'/><vendor_id state='on' value='a'/><tlbflush state='on'/></hyperv><kvm><hidden state='on'/>
<dirty-ring state='on' size='4096'/></kvm><smm state='on'><tseg unit='MiB'>16</tseg></smm><ioapic driver='kvm'/><pmu state='on'/>"""
LOADED = """<loader readonly='yes' type='pflash'>/usr/share/OVMF/code.fd</loader>
<nvram template='/usr/share/OVMF/vars.fd'>/n</nvram><kernel>/k</kernel><initrd>/i</initrd><cmdline>c</cmdline>
<acpi><table type='slic'>/a</table></acpi><boot dev='hd'/><bios useserial='no'/>"""
SYSINFO = """<sysinfo type='smbios'><bios><entry name='vendor'>v</entry></bios><system><entry name='serial'>s</entry></system>
<oemStrings><entry>one</entry></oemStrings></sysinfo><sysinfo type='fwcfg'><entry name='opt/a'>v</entry></sysinfo>"""


SEALED = """<launchSecurity type='{}'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0003</policy>
</launchSecurity>"""
PLACED = """<controller type='usb' model='qemu-xhci'><address type='pci' slot='0x15'/></controller>
<input type='tablet' bus='usb'><address type='usb' bus='0' port='2'/></input><controller type='virtio-serial'/>
<channel type='pty'><target type='virtio' name='a'/><address type='virtio-serial' controller='0' port='3'/></channel>
<memory model='dimm'><target><size unit='MiB'>128</size><node>0</node></target><address type='dimm' slot='1'/></memory>"""
GROUPS = """<throttlegroups><throttlegroup><group_name>g</group_name><total_iops_sec>50</total_iops_sec></throttlegroup>
</throttlegroups>"""
THROTTLED = disk(beside="<throttlefilters><throttlefilter group='g'/></throttlefilters>",
                 driver="type='raw'><statistics><statistic interval='5'/><latency-histogram type='read'><bin start='0'/>"
                 "<bin start='50'/></latency-histogram></statistics></driver").replace("</driver/>", "</driver>")  # fmt: skip
OWN_WORDS = """<qemu:commandline><qemu:arg value='-x'/><qemu:env name='E' value='v'/></qemu:commandline>
<qemu:override><qemu:device alias='balloon0'><qemu:frontend><qemu:property name='p' type='unsigned' value='5'/>
</qemu:frontend></qemu:device></qemu:override><qemu:deprecation behavior='omit'/>"""
SCSI_HOST = "<hostdev type='scsi_host'><source protocol='vhost' wwpn='naa.5123456789abcde0'/></hostdev>"
TIMED = """<clock offset='utc'><timer name='rtc' tickpolicy='catchup'><catchup threshold='1' slew='2' limit='3'/></timer>
</clock><os/>""".replace("<os/>", "")


def samples() -> Iterator[str]:
    """The documents."""
    yield from _outside()
    yield from _devices()


def _devices() -> Iterator[str]:
    yield from (_case(xml) for xml, *_ in CASES.values())
    yield from (guest(one, more="<iothreads>2</iothreads>") for one in DISKS)
    yield from (guest(one) for one in CARDS)
    yield from (guest(f"<{tag} type='{kind}'>{inside}</{tag}>") for tag in ("serial", "parallel", "console")
                for kind, inside in TYPES)  # fmt: skip
    yield guest("""<console type='pty'><target type='virtio'/></console><channel type='unix'><target type='virtio' name='a'/>
    </channel><channel type='pty'><target type='guestfwd' address='10.0.2.9' port='5'/></channel><interface type='user'/>
    <serial type='pty'><target type='isa-serial'/><log file='/l'/><address type='isa' iobase='0x3e8' irq='0x5'/></serial>
    <serial type='pty'><target type='usb-serial'/></serial><serial type='pty'><target type='pci-serial'/></serial>""")
    yield guest("""<channel type='qemu-vdagent'><source><clipboard copypaste='yes'/><mouse mode='client'/></source>
    <target type='virtio' name='com.redhat.spice.0'/></channel><channel type='spicevmc'><target type='virtio'/></channel>
    <channel type='spiceport'><source channel='org.a'/><target type='virtio' name='b'/></channel><graphics type='spice'/>""")
    for name, inside in DISPLAYS.items():
        for model in ("virtio", "vga", *(("qxl",) if name == "spice" else ())):
            yield guest(f"""<graphics type='{name}'>{inside}</graphics><video><model type='{model}'>
            <acceleration accel3d='no'/><resolution x='800' y='600'/></model></video>""")
    yield from (guest(f"<graphics type='vnc'/><video><model type='{model}'/></video>")
                for model in ("bochs", "cirrus", "vmvga", "ramfb", "none"))  # fmt: skip
    for kind in ("alsa", "pulseaudio", "oss", "sdl", "spice", "file", "jack", "dbus", "none", "pipewire"):
        yield guest(f"""<graphics type='spice'/><audio id='1' type='{kind}'><input {STREAM}</input><output {STREAM}</output>
        </audio><sound model='ich9'><codec type='micro'/><audio id='1'/></sound>""")
    yield from (guest(f"<sound model='{model}'/>") for model in ("virtio", "ich6", "ac97", "usb", "sb16", "es1370"))
    yield from (guest(f"<controller {one}/>", more="<iothreads>2</iothreads>") for one in CONTROLLERS)
    yield guest("<controller type='ide'/><controller type='pci' model='pci-bridge'/><controller type='pci'"
                " model='pci-expander-bus'/>" + disk("dev='hda' bus='ide'"), machine="pc")  # fmt: skip
    yield from (guest(one, memory=ROOM, more=CELL) for one in MODULES)
    yield from (guest(f"<tpm>{one}</tpm>") for one in TPMS)
    yield guest(VIRTIOFS, more=SHARED)


def _outside() -> Iterator[str]:
    yield from (guest(kind=kind, more=one) for one in OUTSIDE for kind in ("qemu", "kvm"))
    yield from (guest(kind="kvm", more=one) for one in ONLY_KVM)
    yield guest(kind="kvm", features=ENLIGHTENED)
    yield guest(os=LOADED)
    yield guest(os="<bootmenu enable='yes'/><smbios mode='sysinfo'/>", more=SYSINFO)
    yield guest(features="<tcg><tb-cache unit='MiB'>64</tb-cache></tcg>")
    yield from (guest(kind="kvm", more=SEALED.format(kind)) for kind in ("sev", "sev-snp"))
    yield guest(PLACED, more=CELL, memory=ROOM)
    yield guest(THROTTLED, more=GROUPS)
    yield guest(features="<hyperv><vpindex state='on'/><synic state='on'/><stimer state='on'/></hyperv>", kind="kvm",
                more="<clock offset='utc'><timer name='hypervclock' present='yes'/></clock>")  # fmt: skip
    yield guest(os="<firmware><feature enabled='yes' name='secure-boot'/></firmware>", features="<smm state='on'/>"
                ).replace("<os>", "<os firmware='efi'>")  # fmt: skip
    yield guest(more=OWN_WORDS).replace("<domain ", "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' ")
    yield guest("<lease><lockspace>a</lockspace><key>k</key><target path='/l'/></lease>" + SCSI_HOST, more=TIMED)
    yield guest(kind="kvm", more="<cputune><energytune vcpus='0'><monitor vcpus='0'/></energytune></cputune>")


def _case(xml: str) -> str:
    """A device of the cases, at a place that is found for it."""
    xml = xml.replace(PCI, "").replace(PORT, "")
    more = CELL if "nodeset" in xml else SHARED if "virtiofs" in xml else ""
    beside = "<graphics type='vnc'/>" if "display='on'" in xml else "<controller type='ccid'/>" if "ccid" in xml else ""
    return guest(beside + xml, more=more, memory=ROOM if more == CELL else "<memory unit='MiB'>512</memory>",
                 features="<ioapic driver='qemu'/>" if "intremap" in xml else "")  # fmt: skip
