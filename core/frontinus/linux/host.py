"""Facts of this host, for plans and for the facade. `root` stands in for / in tests."""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from pathlib import Path

from frontinus.api.views import HostView
from frontinus.domain.cpu.names import kernel_features
from frontinus.domain.host import Able, HostFacts, Moment, Paths
from frontinus.linux import devices, tools, topology
from frontinus.linux.dmi import read_sysinfo, read_uuid
from frontinus.linux.firmware import FOLDERS, read_firmware

ROOT = Path("/")
HUGE_FOLDER = "frontinus"
"""Where guests' folders are on a mount of huge pages."""
VIRTIOFSD = ("/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd")
NBDKIT = "/usr/bin/nbdkit"
SWTPM_SETUP = "/usr/bin/swtpm_setup"
VHOST_USER_GPU = ("/usr/lib/qemu/vhost-user-gpu", "/usr/libexec/vhost-user-gpu")


def probe_facts(paths: Paths, *, session: bool = False, root: Path = ROOT) -> HostFacts:
    """Everything that plans depend on; blocks for some milliseconds.

    A user's own engine sees the firmware in the user's configuration as well.
    """
    memory = topology.read_memory(root)
    cpuinfo = _cpuinfo(root)
    return HostFacts(
        arch=os.uname().machine,
        cpus=topology.read_layout(root).cpus,
        kvm=devices.has_kvm(root / "dev/kvm"),
        nodes=topology.read_nodes(root),
        hugepages={page: f"{place}/{HUGE_FOLDER}" for page, place in topology.read_hugepages(root).items()},
        default_hugepage=memory.get("Hugepagesize"),
        cpu_vendor=cpuinfo.get("vendor_id"),
        cpu_features=kernel_features(cpuinfo.get("flags", "").split()),
        cpu_numbers=_numbers(cpuinfo),
        physical_bits=_physical_bits(cpuinfo),
        vfio=devices.has_vfio(root),
        paths=paths,
        tls=_certificates(Path(paths.state, "pki")),
        tls_verify=frozenset({"backup"}),
        firmware=read_firmware([*(root / folder for folder in FOLDERS), *([_user_firmware()] if session else [])]),
        render_nodes=devices.read_render_nodes(root),
        sysinfo=read_sysinfo(root),
        look=lambda: _moment(root),
        cdroms=devices.read_cdroms(root),
        virtiofsd=devices.first_program(*VIRTIOFSD),
        ask=_asked,
        nbdkit=NBDKIT if os.access(root / NBDKIT.lstrip("/"), os.X_OK) else None,
        nbdkit_parts=tools.nbdkit_parts(root),
        vhost_user_gpu=devices.first_program(*VHOST_USER_GPU),
        vhost_net=os.access(root / "dev/vhost-net", os.R_OK | os.W_OK),
        fips=topology.read(root / "proc/sys/crypto/fips_enabled") == "1",
        security_model=devices.read_security_model(root),
        users=devices.read_accounts(root / "etc/passwd"),
        groups=devices.read_accounts(root / "etc/group"),
    )


@lru_cache
def _asked(what: Able) -> frozenset[str]:
    if what == "virtiofsd_options":
        return tools.options(devices.first_program(*VIRTIOFSD))
    return tools.features(SWTPM_SETUP)


def _certificates(folder: Path) -> dict[str, str]:
    """The folders of X.509 credentials that an administrator made, by their use: default, vnc, backup...

    They lie where guests' users can pass: each is let at those that its guest uses.
    """
    found = folder.glob("*/ca-cert.pem") if folder.is_dir() else ()
    return {path.parent.name: str(path.parent) for path in found}


def _moment(root: Path) -> Moment:
    return Moment(devices.read_usb(root), devices.read_scsi_generic(root), time.localtime().tm_gmtoff)


def probe_view(root: Path = ROOT) -> HostView:
    """The host as the facade shows it; what does not change is looked at once."""
    layout, model, uuid, kvm = _lasting(root)
    memory = topology.read_memory(root)
    return HostView(
        hostname=os.uname().nodename, uuid=uuid, arch=os.uname().machine, cpu_model=model, cpus=layout.cpus,
        sockets=layout.sockets, cores=layout.cores, threads=layout.threads, numa_nodes=layout.nodes,
        memory=memory["MemTotal"], memory_free=memory["MemFree"], cpu_mhz=_megahertz(root), kvm=kvm,
    )  # fmt: skip


@lru_cache(maxsize=8)
def _lasting(root: Path) -> tuple[topology.Layout, str, str, bool]:
    model = _cpuinfo(root).get("model name") or os.uname().machine
    return topology.read_layout(root), model, read_uuid(root), devices.has_kvm(root / "dev/kvm")


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first CPU of /proc/cpuinfo."""
    first = (topology.read(root / "proc/cpuinfo") or "").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _numbers(cpuinfo: dict[str, str]) -> tuple[int, int, int] | None:
    family, model, stepping = (cpuinfo.get(name, "") for name in ("cpu family", "model", "stepping"))
    if not (family.isdecimal() and model.isdecimal()):
        return None
    return int(family), int(model), int(stepping) if stepping.isdecimal() else 0


def _physical_bits(cpuinfo: dict[str, str]) -> int | None:
    said = re.match(r"(\d+) bits physical", cpuinfo.get("address sizes", ""))
    return int(said[1]) if said else None


def _megahertz(root: Path) -> int:
    """The present clock of the first CPU; 0 when the kernel does not tell."""
    kilohertz = topology.read(root / topology.CPUS / "cpu0/cpufreq/scaling_cur_freq")
    if kilohertz and kilohertz.isdecimal():
        return int(kilohertz) // 1000
    return int(float(match.group(1))) if (match := re.search(r"(\d+\.\d+)", _cpuinfo(root).get("cpu MHz", ""))) else 0


def _user_firmware() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config", "qemu/firmware")
