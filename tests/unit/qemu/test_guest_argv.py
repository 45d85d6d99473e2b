"""The command line outside devices, for QEMU 7.2 as recorded, and for what other releases take instead."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from frontinus.api.errors import InvalidXML, Unsupported
from frontinus.domain.plan import CopyOnce, Folder, Label, SecretFile
from frontinus.domain.prepare import prepare
from frontinus.qemu.plan import launch_plan
from support.guest_argv import found, objects, with_
from support.guests import qemu72
from support.whole_guest import HOST, defined, options, plan


def test_the_frame() -> None:
    launch = plan(name="a,b=c")
    said = options(launch.argv)
    assert said["name"] == ["guest=a,,b=c,debug-threads=on"]
    assert said["S"] == said["nodefaults"] == said["no-user-config"] == [""]
    assert said["uuid"] == ["4dea22b3-1d52-d8f3-2516-782e98ab3fa0"]
    assert said["sandbox"] == ["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    assert said["chardev"][0] == "socket,id=charmonitor,fd=3,server=on,wait=off"
    assert said["mon"] == ["chardev=charmonitor,id=monitor,mode=control"]
    assert said["overcommit"] == ["mem-lock=off"]
    assert launch.folder == "/state/domain-7-a_b_c"
    assert Folder(launch.folder) in launch.resources
    assert SecretFile(f"{launch.folder}/master-key.aes") in launch.resources
    assert launch.env["HOME"] == launch.folder and launch.env["LC_ALL"] == "C"


def test_a_monitor_that_is_an_object() -> None:
    caps = with_(qemu72(), types="monitor-qmp")
    assert objects("", caps)["monitor"] == {"qom-type": "monitor-qmp", "id": "monitor", "chardev": "charmonitor"}
    assert found("mon", "", caps) == []


@pytest.mark.parametrize("fips", [True, False])
def test_a_host_in_fips_mode(fips: bool) -> None:
    """QEMU is told of it where it does not leave that to its libraries."""
    old = with_(qemu72(), commands=qemu72().commands - {"block-export-add"})
    for caps, expected in ((old, [""] if fips else []), (qemu72(), [])):
        guest = prepare(defined("", caps), caps, HOST, guest_id=7)
        said = options(launch_plan(guest, caps, replace(HOST, fips=fips)).argv)
        assert said.get("enable-fips", []) == expected


MACHINE = "pc-q35-7.2,usb=off{0},dump-guest-core=off{1},memory-backend=pc.ram{2}"


@pytest.mark.parametrize(
    ("features", "more", "before", "middle", "after"),
    [
        ("", "", "", "", ""),
        ("<vmport state='off'/><smm state='on'/><ioapic driver='qemu'/>", "",
         ",vmport=off,smm=on,kernel_irqchip=split", "", ""),
        ("", "<memoryBacking><nosharepages/></memoryBacking>", "", ",mem-merge=off", ""),
    ],
)  # fmt: skip
def test_machine(features: str, more: str, before: str, middle: str, after: str) -> None:
    assert found("machine", more, features=f"<acpi/>{features}") == [MACHINE.format(before, middle, after)]


def test_what_moved_into_the_machine() -> None:
    timer = "<clock><timer name='hpet' present='no'/></clock>"
    assert found("no-hpet", timer) == [""]
    newer = with_(qemu72(), options={"machine": "hpet"})
    assert found("no-hpet", timer, newer) == []
    assert found("machine", timer, newer)[0].endswith(",hpet=off")
    assert found("no-acpi", features="") == [""]


@pytest.mark.parametrize(
    ("type", "features", "expected"),
    [
        ("qemu", "", "tcg"),
        ("kvm", "", "kvm"),
        ("qemu", "<tcg><tb-cache unit='MiB'>64</tb-cache></tcg>", "tcg,tb-size=64"),
        ("kvm", "<kvm><dirty-ring state='on' size='2048'/></kvm>", "kvm,dirty-ring-size=2048"),
    ],
)
def test_accelerator(type: str, features: str, expected: str) -> None:
    assert found("accel", type=type, features=f"<acpi/>{features}") == [expected]


ENLIGHTENED = """<hyperv><relaxed state='on'/><vapic state='off'/><spinlocks state='on' retries='8191'/>
<vpindex state='on'/><synic state='on'/><stimer state='on'><direct state='on'/></stimer><vendor_id state='on' value='KVM Hv'/>
<tlbflush state='on'><direct state='on'/><extended state='on'/></tlbflush><emsr_bitmap state='on'/></hyperv>"""
KVM = """<kvm><hidden state='on'/><hint-dedicated state='on'/><poll-control state='on'/><pv-ipi state='off'/></kvm>"""


@pytest.mark.parametrize(
    ("more", "features", "expected"),
    [
        ("", "", "qemu64"),
        ("<cpu><model vendor_id='KVMKVMKVMKVM'>Nehalem</model><feature policy='force' name='cmp_legacy'/>"
         "<feature policy='disable' name='pclmuldq'/><feature policy='forbid' name='unheard'/></cpu>", "",
         "Nehalem,vendor=KVMKVMKVMKVM,cmp-legacy=on,pclmulqdq=off"),
        ("<cpu mode='host-passthrough'/>", "", "host,migratable=on"),
        ("<cpu mode='host-passthrough' migratable='off'><cache mode='passthrough'/>"
         "<maxphysaddr mode='passthrough' limit='40'/></cpu>", "",
         "host,migratable=off,l3-cache=off,host-cache-info=on,host-phys-bits=on,host-phys-bits-limit=40"),
        ("<cpu mode='maximum'><cache mode='disable'/><maxphysaddr mode='emulate' bits='42'/></cpu>", "",
         "max,l3-cache=off,host-cache-info=off,phys-bits=42"),
        ("<cpu><model>Nehalem</model><cache mode='emulate' level='3'/></cpu>", "", "Nehalem,l3-cache=on"),
        ("<clock><timer name='kvmclock' present='no'/><timer name='hypervclock' present='yes'/>"
         "<timer name='tsc' frequency='5'/></clock>", "", "qemu64,kvmclock=off,hv-time=on,tsc-frequency=5"),
        ("", "<apic eoi='off'/><pvspinlock state='on'/><pmu state='off'/>",
         "qemu64,kvm-pv-eoi=off,kvm-pv-unhalt=on,pmu=off"),
        ("<clock><timer name='hypervclock' present='yes'/></clock>", ENLIGHTENED,
         "qemu64,hv-time=on,hv-relaxed=on,hv-vpindex=on,hv-synic=on,hv-stimer=on,hv-stimer-direct=on,hv-tlbflush=on,"
         "hv-tlbflush-direct=on,hv-tlbflush-ext=on,hv-emsr-bitmap=on,hv-spinlocks=0x1fff,hv-vendor-id=KVM Hv"),
        ("", "<hyperv mode='passthrough'/>", "qemu64,hv-passthrough=on"),
        ("<cpu mode='maximum'/>", KVM, "max,kvm=off,kvm-hint-dedicated=on,kvm-poll-control=on,kvm-pv-ipi=off"),
        ("<devices><panic model='hyperv'/></devices>", "", "qemu64,hv-crash=on"),
    ],
)  # fmt: skip
def test_cpu(more: str, features: str, expected: str) -> None:
    assert found("cpu", more, features=f"<acpi/>{features}", type="kvm") == [expected]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("<vcpu current='2'>4</vcpu>", "2,maxcpus=4,sockets=4,cores=1,threads=1"),
        ("<vcpu>8</vcpu><cpu><topology sockets='1' dies='2' cores='2' threads='2'/></cpu>",
         "8,sockets=1,dies=2,cores=2,threads=2"),
    ],
)  # fmt: skip
def test_smp(more: str, expected: str) -> None:
    assert found("smp", more) == [expected]


def test_vcpus_that_can_be_unplugged_are_plugged() -> None:
    launch = plan("<vcpu>8</vcpu><vcpus><vcpu id='0' enabled='yes' order='1'/>"
                  "<vcpu id='3' enabled='yes' hotpluggable='yes' order='9'/>"
                  "<vcpu id='6' enabled='yes' hotpluggable='yes' order='2'/></vcpus>"
                  "<cpu><topology sockets='1' dies='2' cores='2' threads='2'/></cpu>")  # fmt: skip
    assert options(launch.argv)["smp"] == ["1,maxcpus=8,sockets=1,dies=2,cores=2,threads=2"]
    place = {"driver": "qemu64-x86_64-cpu", "socket-id": 0}
    assert launch.monitor_commands == (
        ("device_add", {**place, "id": "vcpu6", "die-id": 1, "core-id": 1, "thread-id": 0}),
        ("device_add", {**place, "id": "vcpu3", "die-id": 0, "core-id": 1, "thread-id": 1}),
    )  # fmt: skip


def test_io_threads() -> None:
    made = objects("<iothreads>2</iothreads><iothreadids><iothread id='4' thread_pool_min='1' thread_pool_max='2'>"
                   "<poll max='3' grow='4' shrink='5'/></iothread></iothreadids>"
                   "<defaultiothread thread_pool_max='6'/>")  # fmt: skip
    assert made["iothread4"] == {"qom-type": "iothread", "id": "iothread4", "thread-pool-min": 1, "thread-pool-max": 2,
                                 "poll-max-ns": 3, "poll-grow": 4, "poll-shrink": 5}  # fmt: skip
    assert made["iothread1"] == {"qom-type": "iothread", "id": "iothread1"}
    assert made["main-loop"] == {"qom-type": "main-loop", "id": "main-loop", "thread-pool-max": 6}


@pytest.mark.parametrize(
    ("clock", "expected"),
    [
        ("", "base=utc"),
        ("<clock offset='localtime'/>", "base=localtime"),
        ("<clock offset='timezone' timezone='Europe/Paris'/>", "base=localtime"),
        ("<clock offset='variable' adjustment='-60'/>", "base=1969-12-31T23:59:00"),
        ("<clock offset='absolute' start='86400'/>", "base=1970-01-02T00:00:00"),
        ("<clock><timer name='rtc' track='wall' tickpolicy='catchup'/></clock>", "base=utc,clock=host,driftfix=slew"),
    ],
)
def test_clock(clock: str, expected: str) -> None:
    launch = plan(clock)
    assert options(launch.argv)["rtc"] == [expected]
    assert launch.env.get("TZ") == ("Europe/Paris" if "Paris" in clock else None)


@pytest.mark.parametrize(("policy", "expected"), [("", "delay"), (" tickpolicy='discard'", "discard")])
def test_pit(policy: str, expected: str) -> None:
    assert f"kvm-pit.lost_tick_policy={expected}" in found("global", f"<clock><timer name='pit'{policy}/></clock>")


@pytest.mark.parametrize(("machine", "chip"), [("pc", "PIIX4_PM"), ("q35", "ICH9-LPC")])
def test_power(machine: str, chip: str) -> None:
    power = "<pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='yes'/></pm>"
    assert found("global", power, machine=machine) == [f"{chip}.disable_s3=1", f"{chip}.disable_s4=0"]


def test_a_reboot_that_ends_the_guest() -> None:
    assert plan("<on_reboot>destroy</on_reboot>").monitor_commands == (("set-action", {"reboot": "shutdown"}),)
    old = with_(qemu72(), commands=qemu72().commands - {"set-action"})
    launch = plan("<on_reboot>destroy</on_reboot>", old)
    assert launch.monitor_commands == () and "no-reboot" in options(launch.argv)
    assert "no-shutdown" in options(plan("", old).argv)


def test_boot() -> None:
    launch = plan(os="<kernel>/k</kernel><initrd>/i</initrd><cmdline>a b=c,d</cmdline><bootmenu enable='yes' timeout='9'/>"
                     "<acpi><table type='slic'>/t,1</table></acpi><bios rebootTimeout='5'/>")  # fmt: skip
    said = options(launch.argv)
    assert said["boot"] == ["menu=on,reboot-timeout=5,splash-time=9,strict=on"]
    assert (said["kernel"], said["initrd"], said["append"]) == (["/k"], ["/i"], ["a b=c,d"])
    assert said["acpitable"] == ["sig=SLIC,file=/t,,1"]
    serial = plan("<devices><serial type='null'/></devices>", os="<bios useserial='yes'/>")
    assert ",graphics=off" in options(serial.argv)["machine"][0]


SYSINFO = """<sysinfo type='smbios'><bios><entry name='vendor'>A,B</entry></bios><system><entry name='sku'>s</entry>
<entry name='manufacturer'>m</entry></system><baseBoard><entry name='location'>l</entry></baseBoard>
<chassis><entry name='asset'>c</entry></chassis><oemStrings><entry>one</entry><entry>t,wo</entry></oemStrings></sysinfo>
<sysinfo type='fwcfg'><entry name='opt/a'>v,1</entry><entry name='opt/b' file='/f'/></sysinfo>"""


def test_identity() -> None:
    launch = plan(SYSINFO + "<genid>43dc0cf8-809b-4adb-9bea-a9abb5f3d90e</genid>", os="<smbios mode='sysinfo'/>",
                  features="<acpi/><vmcoreinfo/>")  # fmt: skip
    said = options(launch.argv)
    assert said["smbios"] == ["type=0,vendor=A,,B", "type=1,manufacturer=m,sku=s", "type=2,location=l", "type=3,asset=c",
                              "type=11,value=one,value=t,,wo"]  # fmt: skip
    assert said["fw_cfg"] == ["name=opt/a,string=v,,1", "name=opt/b,file=/f"]
    devices = [json.loads(device) for device in said["device"]]
    assert {"driver": "vmgenid", "guid": "43dc0cf8-809b-4adb-9bea-a9abb5f3d90e", "id": "vmgenid0"} in devices
    assert {"driver": "vmcoreinfo"} in devices
    assert found("smbios", SYSINFO) == []


def test_identity_that_cannot_be_had() -> None:
    with pytest.raises(Unsupported, match="SMBIOS"):
        plan(os="<smbios mode='host'/>")
    with pytest.raises(Unsupported, match="<baseBoard>"):
        plan("<sysinfo type='smbios'><baseBoard/><baseBoard/></sysinfo>", os="<smbios mode='sysinfo'/>")


def test_firmware_in_flash() -> None:
    launch = plan(os="<loader readonly='yes' type='pflash' secure='yes'>/code.fd</loader><nvram template='/t.fd'>/v.fd</nvram>",
                  features="<acpi/><smm state='on'><tseg unit='MiB'>16</tseg></smm>")  # fmt: skip
    said = options(launch.argv)
    nodes = {node["node-name"]: node for node in map(json.loads, said["blockdev"])}
    assert nodes["frontinus-pflash0-format"]["read-only"] is True
    assert nodes["frontinus-pflash1-format"]["read-only"] is False
    assert nodes["frontinus-pflash1-storage"]["filename"] == "/v.fd"
    assert ",pflash0=frontinus-pflash0-format,pflash1=frontinus-pflash1-format" in said["machine"][0]
    assert said["global"] == ["driver=cfi.pflash01,property=secure,value=on", "mch.extended-tseg-mbytes=16"]
    assert CopyOnce("/t.fd", "/v.fd") in launch.resources
    assert Label("/v.fd") in launch.resources and Label("/code.fd", readonly=True, shared=True) in launch.resources
    assert found("bios", os="<loader>/bios.bin</loader>") == ["/bios.bin"]


def test_the_user_s_own_words_come_last() -> None:
    launch = plan("<qemu:commandline><qemu:arg value='-d'/><qemu:arg value='a,b'/><qemu:env name='X' value='y'/>"
                  "</qemu:commandline><qemu:deprecation behavior='reject'/>")  # fmt: skip
    assert launch.argv[-2:] == ("-d", "a,b") and launch.env["X"] == "y"
    assert options(launch.argv)["compat"] == ['{"deprecated-output":"hide","deprecated-input":"reject"}']


def override(*properties: str, alias: str = "ua-w") -> dict[str, object]:
    watchdog = "<devices><watchdog model='i6300esb'><alias name='ua-w'/></watchdog></devices>"
    lines = "".join(f"<qemu:property {words}/>" for words in properties)
    wish = f"<qemu:override><qemu:device alias='{alias}'><qemu:frontend>{lines}</qemu:frontend></qemu:device></qemu:override>"
    devices = map(json.loads, found("device", watchdog + wish))
    return next(device for device in devices if device["id"] == "ua-w")


def test_overridden_properties() -> None:
    device = override("name='a' type='string' value='s'", "name='b' type='unsigned' value='5'", "name='c' type='signed' value='-5'",
                      "name='d' type='bool' value='true'", "name='bus' type='remove'")  # fmt: skip
    assert (device["a"], device["b"], device["c"], device["d"]) == ("s", 5, -5, True)
    assert "bus" not in device
    for words, alias, reason in (("name='a' type='unsigned' value='-1'", "ua-w", "no number"),
                                 ("name='a' type='bool' value='1'", "ua-w", "neither"),
                                 ("name='a' type='remove'", "ua-x", "ua-x")):  # fmt: skip
        with pytest.raises(InvalidXML, match=reason):
            override(words, alias=alias)


def test_confidential_guests() -> None:
    wish = "<launchSecurity type='sev'><cbitpos>47</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x1</policy>"
    wish += "<dhCert>AAAA</dhCert></launchSecurity>"
    able = replace(with_(qemu72(), types="sev-guest"), sev={"cbitpos": 47})
    launch = plan(wish, able)
    made = {o["id"]: o for o in map(json.loads, options(launch.argv)["object"])}
    cert = f"{launch.folder}/dh_cert.base64"
    assert made["lsec0"] == {"qom-type": "sev-guest", "id": "lsec0", "cbitpos": 47, "reduced-phys-bits": 1, "policy": 1,
                             "dh-cert-file": cert}  # fmt: skip
    assert SecretFile(cert, b"AAAA") in launch.resources
    with pytest.raises(Unsupported, match="launchSecurity"):
        plan(wish, with_(able, without="sev-guest"))
    with pytest.raises(Unsupported, match="no processor"):
        plan(wish, replace(able, sev=None))


def test_hardware_may_have_a_uuid_of_its_own() -> None:
    other = "5dea22b3-1d52-d8f3-2516-782e98ab3fa0"
    assert options(plan(f"<hwuuid>{other}</hwuuid>").argv)["uuid"] == [other]
