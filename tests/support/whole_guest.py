"""A document that says everything that a guest can say outside its devices, and how to make variants of a guest."""

from __future__ import annotations

from collections.abc import Mapping

from frontinus.domain.capabilities import Capabilities
from frontinus.domain.complete import complete
from frontinus.domain.definition import parse_guest
from frontinus.domain.guest import Guest
from frontinus.domain.host import Firmware, HostFacts, NumaNode, Paths
from frontinus.domain.plan import LaunchPlan
from frontinus.domain.prepare import prepare
from frontinus.qemu.plan import launch_plan
from support.guests import qemu72

MIB = 2**20
OVMF = "/usr/share/OVMF/"
FIRMWARE = (
    Firmware("40.json", ("bios",), "memory", "/bios.bin", targets=(("x86_64", "pc-*"),),
             features=frozenset({"acpi-s3"})),
    Firmware("50.json", ("uefi",), "flash", f"{OVMF}secure.fd", nvram_template=f"{OVMF}keys.fd",
             targets=(("x86_64", "pc-q35-*"),),
             features=frozenset({"acpi-s3", "enrolled-keys", "requires-smm", "secure-boot", "amd-sev"})),
    Firmware("55.json", ("uefi",), "flash", f"{OVMF}combined.fd", mode="combined", targets=(("x86_64", "pc-*"),)),
    Firmware("56.json", ("uefi",), "flash", f"{OVMF}stateless.fd", mode="stateless", targets=(("x86_64", "pc-*"),)),
    Firmware("60.json", ("uefi",), "flash", f"{OVMF}code.fd", nvram_template=f"{OVMF}vars.fd",
             targets=(("x86_64", "pc-*"),), features=frozenset({"acpi-s3", "amd-sev"})),
)  # fmt: skip
HOST = HostFacts(
    cpus=8, kvm=True, nodes=tuple(NumaNode(n) for n in range(4)), firmware=FIRMWARE, auto_nodes=(0, 1),
    hugepages={2 * MIB: "/huge2M", 1024 * MIB: "/huge1G"}, default_hugepage=2 * MIB,
    paths=Paths(state="/state", nvram="/nvram", ram="/ram"), time=lambda: 0.0, entropy=lambda size: bytes(range(size)),
)  # fmt: skip
UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"


def text(more: str = "", *, os: str = "", features: str = "<acpi/>", machine: str = "q35", type: str = "qemu",
         memory: str = "<memory unit='MiB'>512</memory>", arch: str = "x86_64", name: str = "test") -> str:  # fmt: skip
    """A small guest with some parts."""
    return (
        f"<domain type='{type}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>{name}</name>"
        f"<uuid>{UUID}</uuid>{memory}<os><type arch='{arch}' machine='{machine}'>hvm</type>{os}</os>"
        f"<features>{features}</features>{more}</domain>"
    )


def defined(more: str = "", caps: Capabilities | None = None, **parts: str) -> Guest:
    """The completed guest."""
    return complete(parse_guest(text(more, **parts)), caps or qemu72(), HOST)


def plan(more: str = "", caps: Capabilities | None = None, **parts: str) -> LaunchPlan:
    """The plan of its start as number 7."""
    guest = defined(more, caps, **parts)
    return launch_plan(prepare(guest, caps or qemu72(), HOST, guest_id=7), caps or qemu72(), HOST)


def options(argv: tuple[str, ...]) -> Mapping[str, list[str]]:
    """The values of each option; a flag has an empty one."""
    found: dict[str, list[str]] = {}
    for word, following in zip(argv, (*argv[1:], "-"), strict=True):
        if word.startswith("-"):
            found.setdefault(word[1:], []).append("" if following.startswith("-") else following)
    return found


WHOLE = f"""
<domain type='kvm' id='3' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>all</name><uuid>{UUID}</uuid><hwuuid>5dea22b3-1d52-d8f3-2516-782e98ab3fa0</hwuuid><genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid><title>T</title>
<description>D</description><metadata><x:y xmlns:x='urn:x'>z</x:y></metadata>
<maxMemory slots='4' unit='MiB'>4096</maxMemory><memory unit='MiB' dumpCore='on'>1024</memory>
<currentMemory unit='MiB'>512</currentMemory>
<blkiotune><weight>500</weight><device><path>/dev/sda</path><weight>200</weight><read_iops_sec>1</read_iops_sec>
<write_iops_sec>2</write_iops_sec><read_bytes_sec>3</read_bytes_sec><write_bytes_sec>4</write_bytes_sec></device>
</blkiotune>
<memtune><hard_limit unit='MiB'>2048</hard_limit><soft_limit unit='MiB'>1024</soft_limit>
<min_guarantee unit='MiB'>512</min_guarantee><swap_hard_limit unit='MiB'>4096</swap_hard_limit></memtune>
<memoryBacking><hugepages><page size='2' unit='MiB' nodeset='0'/><page size='1' unit='GiB' nodeset='1'/></hugepages>
<nosharepages/><locked/><source type='memfd'/><access mode='shared'/><allocation mode='immediate' threads='2'/>
<discard/></memoryBacking>
<vcpu placement='static' cpuset='0-3,^2' current='2'>4</vcpu>
<vcpus><vcpu id='0' enabled='yes' hotpluggable='no' order='1'/><vcpu id='1' enabled='no' hotpluggable='yes'/>
<vcpu id='2' enabled='yes' hotpluggable='yes' order='2'/><vcpu id='3' enabled='no' hotpluggable='yes'/></vcpus>
<iothreads>1</iothreads><iothreadids><iothread id='3' thread_pool_min='1' thread_pool_max='4'>
<poll max='9' grow='2' shrink='3'/></iothread></iothreadids>
<throttlegroups><throttlegroup><group_name>slow</group_name><total_iops_sec>100</total_iops_sec></throttlegroup>
</throttlegroups><defaultiothread thread_pool_min='1' thread_pool_max='8'/>
<cputune><shares>1024</shares><period>100000</period><quota>-1</quota><global_period>100000</global_period>
<global_quota>5000</global_quota><emulator_period>100000</emulator_period><emulator_quota>5000</emulator_quota>
<iothread_period>100000</iothread_period><iothread_quota>5000</iothread_quota><vcpupin vcpu='0' cpuset='0'/>
<emulatorpin cpuset='1'/><iothreadpin iothread='3' cpuset='2'/><emulatorsched scheduler='rr' priority='2'/>
<vcpusched vcpus='0' scheduler='fifo' priority='1'/><iothreadsched iothreads='3' scheduler='rr' priority='5'/>
<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='3' unit='MiB'/><monitor level='3' vcpus='0-1'/>
</cachetune><memorytune vcpus='2'><node id='0' bandwidth='60'/><monitor level='3' vcpus='2'/></memorytune>
<energytune vcpus='0-1'><monitor vcpus='0'/></energytune></cputune>
<numatune><memory mode='strict' nodeset='0-1' placement='static'/><memnode cellid='0' mode='preferred' nodeset='1'/></numatune>
<resource><partition>/machine</partition><fibrechannel appid='app'/></resource>
<sysinfo type='smbios'><bios><entry name='vendor'>V</entry></bios><system><entry name='serial'>S</entry></system>
<baseBoard><entry name='asset'>A</entry></baseBoard><chassis><entry name='sku'>C</entry></chassis>
<processor><entry name='type'>P</entry></processor><memory_device><entry name='size'>M</entry></memory_device>
<oemStrings><entry>one</entry><entry>two</entry></oemStrings></sysinfo>
<sysinfo type='fwcfg'><entry name='opt/a'>v</entry><entry name='opt/b' file='/f'/></sysinfo>
<bootloader>/usr/bin/pygrub</bootloader><bootloader_args>--q</bootloader_args>
<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type>
<firmware><feature enabled='yes' name='secure-boot'/></firmware>
<loader readonly='yes' type='pflash' secure='yes' stateless='no' format='raw'>/code.fd</loader>
<nvram template='/vars.fd' templateFormat='raw' type='network' format='qcow2'>/v<source protocol='nbd' name='n'>
<host name='h' port='1'/></source></nvram><varstore template='/t.json' path='/v.json'/>
<kernel>/k</kernel><initrd>/i</initrd><cmdline>c d</cmdline><shim>/s</shim><dtb>/t</dtb>
<acpi><table type='slic'>/a</table></acpi><boot dev='cdrom'/><boot dev='hd'/><bootmenu enable='yes' timeout='3000'/>
<bios useserial='yes' rebootTimeout='-1'/><smbios mode='sysinfo'/></os>
<idmap><uid start='0' target='1000' count='10'/><gid start='0' target='1000' count='10'/></idmap>
<features><acpi/><apic eoi='off'/><pae/><hap state='off'/><viridian/><privnet/>
<hyperv mode='custom'><relaxed state='on'/><vapic state='off'/><spinlocks state='on' retries='4096'/>
<vpindex state='on'/><runtime state='on'/><synic state='on'/><stimer state='on'><direct state='on'/></stimer>
<reset state='on'/><vendor_id state='on' value='KVM Hv'/><frequencies state='on'/><reenlightenment state='on'/>
<tlbflush state='on'><direct state='on'/><extended state='off'/></tlbflush><ipi state='on'/><evmcs state='on'/>
<avic state='on'/><emsr_bitmap state='on'/><xmm_input state='on'/></hyperv>
<xen><e820_host state='on'/><passthrough state='on' mode='sync_pt'/></xen><pvspinlock state='on'/>
<kvm><hidden state='on'/><hint-dedicated state='on'/><poll-control state='on'/><pv-ipi state='off'/>
<dirty-ring state='on' size='4096'/></kvm><pmu state='off'/><vmport state='off'/><gic version='3'/>
<smm state='on'><tseg unit='MiB'>16</tseg></smm><ioapic driver='qemu'/><hpt resizing='required'>
<maxpagesize unit='MiB'>16</maxpagesize></hpt><vmcoreinfo state='on'/><htm state='on'/><nested-hv state='on'/>
<ccf-assist state='on'/><ras state='on'/><ps2 state='off'/><msrs unknown='ignore'/><cfpc value='fixed'/>
<sbbc value='broken'/><ibs value='fixed-ccd'/><tcg><tb-cache unit='MiB'>64</tb-cache></tcg>
<async-teardown enabled='yes'/><aia value='auto'/></features>
<cpu mode='custom' match='exact' check='partial' migratable='on' deprecated_features='off'>
<model fallback='forbid' vendor_id='KVMKVMKVMKVM'>Nehalem</model><vendor>Intel</vendor>
<maxphysaddr mode='passthrough' bits='42' limit='39'/><topology sockets='1' dies='2' clusters='1' cores='2' threads='1'/>
<cache level='3' mode='emulate'/><feature policy='force' name='vmx'/><numa>
<cell id='0' cpus='0-1' memory='512' unit='MiB' memAccess='shared' discard='yes'><distances><sibling id='0' value='10'/>
<sibling id='1' value='21'/></distances><cache level='1' associativity='direct' policy='writeback'>
<size value='10' unit='KiB'/><line value='8' unit='B'/></cache></cell><cell id='1' cpus='2-3' memory='512' unit='MiB'/>
<interconnects><latency initiator='0' target='1' cache='1' type='access' value='5'/>
<bandwidth initiator='0' target='1' cache='1' type='read' value='1' unit='GiB'/></interconnects></numa></cpu>
<clock offset='variable' adjustment='-5' basis='localtime' timezone='UTC' start='7'>
<timer name='rtc' present='yes' tickpolicy='catchup' track='guest' frequency='5' mode='native'>
<catchup threshold='1' slew='2' limit='3'/></timer></clock>
<on_poweroff>preserve</on_poweroff><on_reboot>restart</on_reboot><on_crash>coredump-restart</on_crash>
<on_lockfailure>pause</on_lockfailure>
<pm><suspend-to-mem enabled='yes'/><suspend-to-disk enabled='no'/></pm>
<perf><event name='cmt' enabled='yes'/><event name='cache_misses' enabled='no'/></perf><devices/>
<keywrap><cipher name='aes' state='off'/></keywrap>
<seclabel type='static' model='selinux' relabel='no'><label>l</label><baselabel>b</baselabel></seclabel>
<iommufd enabled='yes' fdgroup='g'/><launchSecurity type='sev' kernelHashes='yes' authorKey='yes' vcek='no'><cbitpos>47</cbitpos>
<reducedPhysBits>1</reducedPhysBits><policy>0x0003</policy><dhCert>AA</dhCert><session>BB</session>
<guestVisibleWorkarounds>g</guestVisibleWorkarounds><idBlock>i</idBlock><idAuth>a</idAuth><hostData>h</hostData>
<mrConfigId>c</mrConfigId><mrOwner>o</mrOwner><mrOwnerConfig>w</mrOwnerConfig>
<quoteGenerationService path='/q'/></launchSecurity>
<qemu:commandline><qemu:arg value='-x'/><qemu:env name='E' value='v'/></qemu:commandline>
<qemu:capabilities><qemu:add capability='a'/><qemu:del capability='b'/></qemu:capabilities>
<qemu:override><qemu:device alias='ua-d'><qemu:frontend><qemu:property name='p' type='unsigned' value='5'/>
</qemu:frontend></qemu:device></qemu:override><qemu:deprecation behavior='omit'/>
</domain>
"""
