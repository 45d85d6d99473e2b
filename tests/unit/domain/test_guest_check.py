"""What is refused outside devices, each with its reason; and that what is said nowhere else is not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from frontinus.api.errors import Unsupported
from frontinus.domain.check.guest import check_guest, check_start
from frontinus.domain.defaults import complete_guest
from frontinus.domain.definition import parse_guest
from frontinus.domain.host import HostFacts
from support.guests import qemu72
from support.whole_guest import HOST, plan, text

TWO_CELLS = "<vcpu>4</vcpu><cpu><numa><cell id='0' cpus='0-1' memory='1' unit='MiB'/>{0}</numa></cpu>"
CELL1 = "<cell id='1' cpus='2-3' memory='1' unit='MiB'/>"
LATENCY = "<interconnects><latency initiator='{0}' target='{1}' type='access' value='1' {2}/></interconnects>"
IDLE = "<cell id='1' memory='1' unit='MiB'/>"
PASSED = "<cpu mode='host-passthrough'>{0}</cpu>"
LOADER = "<loader {1}>{0}</loader>"
PFLASH = "readonly='yes' type='pflash'"


def reasons(more: str = "", host: HostFacts = HOST, **parts: str) -> str:
    guest = parse_guest(text(more, **parts))
    complete_guest(guest, qemu72(), host)
    return "\n".join(check_guest(guest, qemu72(), host))


MORE = {
    "<vcpu>0</vcpu>": "at least one",
    "<vcpu current='3'>2</vcpu>": "more than 2",
    "<vcpu cpuset='^1'>2</vcpu>": "names no CPU",
    "<vcpu>1000</vcpu>": "at most 288",
    "<vcpu>256</vcpu>": "IOMMU",
    "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='no'/></vcpus>": "first cannot be off",
    "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='yes'/></vcpus>": "first cannot be hot-pluggable",
    "<vcpu>2</vcpu><vcpus><vcpu id='2' enabled='yes'/></vcpus>": "beyond",
    "<vcpu>2</vcpu><vcpus><vcpu id='1' enabled='no' hotpluggable='no'/></vcpus>": "must be hot-pluggable",
    "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes' order='1'/><vcpu id='1' enabled='yes' order='1'/></vcpus>": "order",
    "<vcpu current='1'>2</vcpu><vcpus><vcpu id='0' enabled='yes'/><vcpu id='1' enabled='yes'/></vcpus>": "2 are on",
    "<maxMemory slots='1' unit='GiB'>9</maxMemory>": "NUMA cells",
    f"<maxMemory slots='1' unit='KiB'>1</maxMemory>{TWO_CELLS.format(CELL1)}": "less than the memory at start",
    "<memoryBacking><hugepages/><source type='anonymous'/></memoryBacking>": "anonymous",
    "<memoryBacking><hugepages/><allocation mode='ondemand'/></memoryBacking>": "on demand",
    "<memoryBacking><hugepages><page size='2' unit='MiB'/><page size='1' unit='GiB'/></hugepages></memoryBacking>": "two <page>",
    "<memoryBacking><hugepages><page size='2' unit='MiB' nodeset='1'/></hugepages></memoryBacking>": "no node 1",
    TWO_CELLS.format("<cell id='2' cpus='2' memory='1' unit='MiB'/>"): "not 0, 1, 2",
    TWO_CELLS.format("<cell id='1' cpus='1-2' memory='1' unit='MiB'/>"): "in two cells",
    TWO_CELLS.format("<cell id='1' cpus='2-4' memory='1' unit='MiB'/>"): "beyond <vcpu>",
    TWO_CELLS.format("<cell id='1' cpus='2-3'/>"): "memory is missing",
    TWO_CELLS.format(CELL1.replace("/>", "><distances><sibling id='5' value='20'/></distances></cell>")): "no such cell",
    TWO_CELLS.format(CELL1.replace("/>", "><distances><sibling id='0' value='10'/></distances></cell>")): "to itself",
    TWO_CELLS.format(CELL1 + LATENCY.format(0, 7, "")): "no such cell",
    TWO_CELLS.format(CELL1 + LATENCY.format(0, 1, "cache='1'")): "no cache",
    TWO_CELLS.format(IDLE + LATENCY.format(1, 0, "")).replace("<vcpu>4", "<vcpu>2"): "no CPUs",
    TWO_CELLS.format(CELL1.replace("/>", "><cache level='2' associativity='none' policy='none'/></cell>")): "without a gap",
    "<numatune><memory mode='strict' placement='static'/></numatune>": "nodeset",
    "<numatune><memnode cellid='0' nodeset='1'/></numatune>": "no such cell",
    f"{TWO_CELLS.format(CELL1)}<numatune><memory placement='auto'/><memnode cellid='0' nodeset='1'/></numatune>": "automatic",
    TWO_CELLS.format(CELL1) + "<numatune><memory mode='restrictive' nodeset='0'/>"
    "<memnode cellid='0' mode='strict' nodeset='1'/></numatune>": "restrictive",
    "<iothreads>2</iothreads><iothreadids><iothread id='1'/><iothread id='1'/></iothreadids>": "said twice",
    "<iothreadids><iothread id='1' thread_pool_min='9' thread_pool_max='2'/></iothreadids>": "above",
    "<cputune><period>5</period></cputune>": "period",
    "<cputune><quota>5</quota></cputune>": "quota",
    "<cputune><vcpupin vcpu='0' cpuset='0'/><vcpupin vcpu='0' cpuset='1'/></cputune>": "pinned twice",
    "<cputune><iothreadpin iothread='3' cpuset='0'/></cputune>": "no such I/O thread",
    "<cputune><vcpusched vcpus='0' scheduler='fifo'/></cputune>": "priority",
    "<cputune><vcpusched vcpus='0' scheduler='idle'/><vcpusched vcpus='0' scheduler='batch'/></cputune>": "two elements",
    "<cputune><cachetune vcpus='0'/><cachetune vcpus='0-1'/></cputune>": "two elements",
    "<cputune><cachetune vcpus='0'><monitor level='3' vcpus='1'/></cachetune></cputune>": "does not have",
    "<cputune><memorytune vcpus='0'><node id='0' bandwidth='101'/></memorytune></cputune>": "percentage",
    "<vcpu>2</vcpu><cputune><cachetune vcpus='0-1'/><memorytune vcpus='1'/></cputune>": "not all",
    "<vcpu>3</vcpu><cputune><cachetune vcpus='0-2'><monitor level='3' vcpus='0-1'/></cachetune>"
    "<memorytune vcpus='0-2'><monitor vcpus='1-2'/></memorytune></cputune>": "share some vCPUs",
    "<vcpu>2</vcpu><cputune><cachetune vcpus='0-1'/><energytune vcpus='1'/></cputune>": "<cachetune> or <memorytune>, but not all",
    "<cputune><energytune vcpus='0'/><energytune vcpus='0-1'/></cputune>": "<energytune>: vCPUs are in two elements",
    "<cputune><energytune vcpus='0'><monitor vcpus='1'/></energytune></cputune>": "<energytune> does not have",
    "<cputune><memorytune vcpus='0'><monitor level='3' vcpus='1'/></memorytune></cputune>": "<memorytune> does not have",
    "<maxMemory slots='1' unit='PiB'>5</maxMemory>": "address",
    "<blkiotune><device><path>/a</path><weight>200</weight></device><device><path>/a</path><weight>5</weight></device></blkiotune>":
    "two <device>",
    "<cpu mode='host-passthrough'/>": "only KVM",
    "<cpu><model>Unheard</model></cpu>": "no CPU model 'Unheard'",
    "<cpu><model fallback='forbid'>SapphireRapids</model></cpu>": "this QEMU has no CPU model",
    "<cpu><feature name='aes'/></cpu>": "without a model",
    "<cpu><model vendor_id='short'>Nehalem</model></cpu>": "12 characters",
    "<cpu><model>Nehalem</model><feature name='aes'/><feature name='aes'/></cpu>": "more than once",
    "<cpu migratable='on'><model>Nehalem</model></cpu>": "migratable",
    "<cpu><model>Nehalem</model><cache mode='emulate' level='2'/></cpu>": "level='3'",
    "<cpu><model>Nehalem</model><cache mode='disable' level='3'/></cpu>": "cannot be given",
    "<cpu><model>Nehalem</model><cache mode='passthrough'/></cpu>": "only for the modes",
    "<cpu><model>Nehalem</model><maxphysaddr mode='emulate'/></cpu>": "bits are missing",
    "<cpu><model>Nehalem</model><maxphysaddr mode='passthrough'/></cpu>": "only for the modes",
    "<clock offset='timezone'/>": "timezone is missing",
    "<clock offset='absolute'/>": "start is missing",
    "<clock offset='utc' adjustment='soon'/>": "not a number",
    "<clock><timer name='platform'/></clock>": "not a timer",
    "<clock><timer name='rtc' tickpolicy='merge'/></clock>": "merge",
    "<clock><timer name='rtc' track='boot'/></clock>": "since boot",
    "<clock><timer name='pit' tickpolicy='catchup'/></clock>": "catch up",
    "<on_poweroff>rename-restart</on_poweroff>": "rename-restart",
    "<on_reboot>preserve</on_reboot>": "preserve",
    "<perf><event name='cmt' enabled='yes'/><event name='cmt' enabled='no'/></perf>": "more than once",
    "<title>a\nb</title>": "line break",
    "<genid>no</genid>": "not a UUID",
    "<resource><partition>machine</partition></resource>": "slash",
    "<seclabel type='static' model='selinux'/>": "<label> is missing",
    "<seclabel type='dynamic' model='selinux' relabel='no'/>": "relabel='no'",
    "<seclabel model='selinux'/><seclabel model='selinux'/>": "two labels",
    "<launchSecurity type='sev'/>": "<policy>",
    "<qemu:commandline><qemu:env name='1A' value=''/></qemu:commandline>": "1A",
    "<sysinfo type='smbios'><system><entry name='uuid'>4dea22b3-1d52-d8f3-2516-782e98ab3fa1</entry></system></sysinfo>": "<uuid>",
    "<sysinfo type='smbios'><bios><entry name='date'>2020-01-01</entry></bios></sysinfo>": "month/day/year",
    "<sysinfo type='fwcfg'><entry name='etc/x'>v</entry></sysinfo>": "opt/",
    "<sysinfo type='fwcfg'><entry name='opt/x' file='/f'>v</entry></sysinfo>": "either",
}  # fmt: skip
OS = {
    LOADER.format("", PFLASH): "no path",
    LOADER.format("/b", "type='rom' stateless='no'"): "keeps state",
    LOADER.format("/b", "type='rom'") + "<nvram>/v</nvram>": "variable store",
    LOADER.format("/b", PFLASH + " stateless='yes'") + "<nvram>/v</nvram>": "stateless",
    LOADER.format("/b", PFLASH + " secure='yes'"): "smm",
    "<nvram>/v</nvram>": "no <loader>",
    "<firmware><feature enabled='yes' name='secure-boot'/></firmware>": "firmware=",
    "<smbios mode='sysinfo'/>": "no <sysinfo",
    "<bios useserial='yes'/>": "serial port",
    "<cmdline>x</cmdline>": "need <kernel>",
    "<dtb>/t</dtb>": "device tree",
}
FEATURES = {
    "<gic version='3'/>": "gic",
    "<htm state='on'/>": "htm",
    "<smm state='on'><tseg unit='KiB'>1</tseg></smm>": "whole number",
    "<hyperv><spinlocks state='on'/></hyperv>": "retries are missing",
    "<hyperv><spinlocks state='on' retries='5'/></hyperv>": "fewer than",
    "<hyperv><vendor_id state='on'/></hyperv>": "value is missing",
    "<hyperv><vendor_id state='on' value='more than twelve'/></hyperv>": "more than 12",
    "<kvm><dirty-ring state='on' size='4096'/></kvm>": "only for KVM",
    "<ioapic driver='kvm'/>": "only for KVM",
    "<ps2 state='off'/>": "this QEMU",
}


@pytest.mark.parametrize(("part", "reason"), MORE.items())
def test_refused(part: str, reason: str) -> None:
    assert re.search(re.escape(reason), reasons(part)), reasons(part)


@pytest.mark.parametrize(("part", "reason"), OS.items())
def test_refused_in_os(part: str, reason: str) -> None:
    assert reason in reasons(os=part)


@pytest.mark.parametrize(("part", "reason"), FEATURES.items())
def test_refused_in_features(part: str, reason: str) -> None:
    assert reason in reasons(features=f"<acpi/>{part}")


@pytest.mark.parametrize(
    ("os", "reason"),
    [
        ("<loader>/code.fd</loader>", "path"),
        ("<loader type='pflash'/>", "type"),
        ("<loader secure='no'/>", "secure-boot"),
        ("<nvram template='/t'/>", "template"),
        ("<firmware><feature enabled='yes' name='enrolled-keys'/><feature enabled='no' name='secure-boot'/></firmware>",
         "needs secure-boot"),
    ],
)  # fmt: skip
def test_what_is_chosen_for_the_user_the_user_cannot_say(os: str, reason: str) -> None:
    guest = parse_guest(text(os=os).replace("<os>", "<os firmware='efi'>"))
    complete_guest(guest, qemu72(), HOST)
    assert reason in "\n".join(check_guest(guest, qemu72(), HOST))


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"name": "a/b"}, "slash"),
        ({"memory": ""}, "<memory> is missing"),
        ({"machine": "pc-i440fx-99"}, "no such machine"),
        ({"os": LOADER.format("/b", PFLASH), "features": ""}, "<acpi/>"),
        ({"machine": "pc", "features": "<acpi/><smm state='on'><tseg unit='MiB'>8</tseg></smm>"}, "q35"),
    ],
)
def test_refused_as_a_whole(parts: dict[str, str], reason: str) -> None:
    assert reason in reasons(**parts)


@pytest.mark.parametrize("more", ["", TWO_CELLS.format(CELL1), "<cputune><shares>0</shares></cputune>",
                                  "<vcpu>4</vcpu><cpu><model>SapphireRapids</model></cpu>",
                                  "<numatune><memory nodeset='0'/></numatune>"])  # fmt: skip
def test_not_refused(more: str) -> None:
    assert reasons(more) == ""


def test_what_only_this_host_cannot_is_told_at_start() -> None:
    guest = parse_guest(text(type="kvm"))
    assert list(check_guest(guest, qemu72(), HOST)) == []
    assert "KVM" in "\n".join(check_start(guest, qemu72(), replace(HOST, kvm=False)))
    for parts, reason in (({"type": "xen"}, "xen"), ({"arch": "aarch64"}, "aarch64"), (
            {"more": "<keywrap><cipher name='aes' state='on'/></keywrap>"}, "keywrap")):  # fmt: skip
        with pytest.raises(Unsupported, match=reason):
            plan(**parts)
