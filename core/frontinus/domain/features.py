"""Hypervisor features that a guest sees: the <features> element."""

from __future__ import annotations

from frontinus.xml import Flag, Model, Size, one, xml
from frontinus.xml.codecs import OnOff, UInt32, YesNo, one_of


class Apic(Model, tag="apic"):
    """The interrupt controller; `eoi` is the paravirtual end of interrupt."""

    eoi: bool | None = xml("@eoi", OnOff)


class Toggle(Model):
    """An element with a state, on where it says none."""

    state: bool = xml("@state", OnOff, default=True)


class HvState(Model):
    """A Hyper-V enlightenment; the state must be said."""

    state: bool = xml("@state", OnOff, required=True)


class HvSpinlocks(HvState, tag="spinlocks"):
    retries: int | None = xml("@retries", UInt32)


class HvStimer(HvState, tag="stimer"):
    direct: HvState | None = one("direct", HvState)


class HvVendor(HvState, tag="vendor_id"):
    value: str | None = xml("@value")


class HvTlbflush(HvState, tag="tlbflush"):
    direct: HvState | None = one("direct", HvState)
    extended: HvState | None = one("extended", HvState)


class HyperV(Model, tag="hyperv"):
    """Enlightenments for Windows guests."""

    mode: str | None = xml("@mode", one_of("custom", "passthrough", "host-model"))
    relaxed: HvState | None = one("relaxed", HvState)
    vapic: HvState | None = one("vapic", HvState)
    spinlocks: HvSpinlocks | None = one("spinlocks", HvSpinlocks)
    vpindex: HvState | None = one("vpindex", HvState)
    runtime: HvState | None = one("runtime", HvState)
    synic: HvState | None = one("synic", HvState)
    stimer: HvStimer | None = one("stimer", HvStimer)
    reset: HvState | None = one("reset", HvState)
    vendor_id: HvVendor | None = one("vendor_id", HvVendor)
    frequencies: HvState | None = one("frequencies", HvState)
    reenlightenment: HvState | None = one("reenlightenment", HvState)
    tlbflush: HvTlbflush | None = one("tlbflush", HvTlbflush)
    ipi: HvState | None = one("ipi", HvState)
    evmcs: HvState | None = one("evmcs", HvState)
    avic: HvState | None = one("avic", HvState)
    emsr_bitmap: HvState | None = one("emsr_bitmap", HvState)
    xmm_input: HvState | None = one("xmm_input", HvState)


class DirtyRing(HvState, tag="dirty-ring"):
    size: int | None = xml("@size", UInt32)


class KvmFeatures(Model, tag="kvm"):
    """What a guest learns of KVM."""

    hidden: HvState | None = one("hidden", HvState)
    hint_dedicated: HvState | None = one("hint-dedicated", HvState)
    poll_control: HvState | None = one("poll-control", HvState)
    pv_ipi: HvState | None = one("pv-ipi", HvState)
    dirty_ring: DirtyRing | None = one("dirty-ring", DirtyRing)


class XenPassthrough(HvState, tag="passthrough"):
    mode: str | None = xml("@mode", one_of("sync_pt", "share_pt"))


class XenFeatures(Model, tag="xen"):
    """Features of Xen; kept, without a meaning here."""

    e820_host: HvState | None = one("e820_host", HvState)
    passthrough: XenPassthrough | None = one("passthrough", XenPassthrough)


class Smm(Toggle, tag="smm"):
    """System management mode, and its memory (bytes)."""

    tseg: int | None = xml("tseg", Size("MiB"))


class Gic(Model, tag="gic"):
    """ARM's interrupt controller: known, and refused on x86."""

    version: str | None = xml("@version", one_of("2", "3", "host"))


class Ioapic(Model, tag="ioapic"):
    driver: str = xml("@driver", one_of("kvm", "qemu"), required=True)


class Hpt(Model, tag="hpt"):
    """POWER's page table: known, and refused on x86."""

    resizing: str | None = xml("@resizing", one_of("enabled", "disabled", "required"))
    max_page_size: int | None = xml("maxpagesize", Size("KiB"))


class TbCache(Model, tag="tcg"):
    """Options of TCG: bytes of the cache of translated code."""

    tb_cache: int | None = xml("tb-cache", Size("MiB"))


class Features(Model, tag="features"):
    """All of <features>, in canonical order."""

    acpi: bool = xml("acpi", Flag)
    apic: Apic | None = one("apic", Apic)
    pae: bool = xml("pae", Flag)
    hap: Toggle | None = one("hap", Toggle)
    viridian: bool = xml("viridian", Flag)
    privnet: bool = xml("privnet", Flag)
    hyperv: HyperV | None = one("hyperv", HyperV)
    xen: XenFeatures | None = one("xen", XenFeatures)
    pvspinlock: Toggle | None = one("pvspinlock", Toggle)
    kvm: KvmFeatures | None = one("kvm", KvmFeatures)
    pmu: Toggle | None = one("pmu", Toggle)
    vmport: Toggle | None = one("vmport", Toggle)
    gic: Gic | None = one("gic", Gic)
    smm: Smm | None = one("smm", Smm)
    ioapic: Ioapic | None = one("ioapic", Ioapic)
    hpt: Hpt | None = one("hpt", Hpt)
    vmcoreinfo: Toggle | None = one("vmcoreinfo", Toggle)
    htm: Toggle | None = one("htm", Toggle)
    nested_hv: Toggle | None = one("nested-hv", Toggle)
    ccf_assist: Toggle | None = one("ccf-assist", Toggle)
    ras: Toggle | None = one("ras", Toggle)
    ps2: Toggle | None = one("ps2", Toggle)
    msrs_unknown: str | None = xml("msrs/@unknown", one_of("ignore", "fault"))
    cfpc: str | None = xml("cfpc/@value", one_of("broken", "workaround", "fixed"))
    sbbc: str | None = xml("sbbc/@value", one_of("broken", "workaround", "fixed"))
    ibs: str | None = xml("ibs/@value", one_of("broken", "workaround", "fixed-ibs", "fixed-ccd", "fixed-na"))
    tcg: TbCache | None = one("tcg", TbCache)
    async_teardown: bool | None = xml("async-teardown/@enabled", YesNo)
    aia: str | None = xml("aia/@value")
