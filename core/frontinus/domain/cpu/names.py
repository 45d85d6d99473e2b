"""Names of CPU features: users' (libvirt's), QEMU's and the kernel's in /proc/cpuinfo. The table of models has QEMU's."""

from __future__ import annotations

from collections.abc import Iterable

QEMU_NAMES = {"pclmuldq": "pclmulqdq"}
"""Features that QEMU spells otherwise than users do, beyond - for _."""
USERS_NAMES = {
    "cmp-legacy": "cmp_legacy", "ds-cpl": "ds_cpl", "fxsr-opt": "fxsr_opt", "lahf-lm": "lahf_lm",
    "nodeid-msr": "nodeid_msr", "pclmulqdq": "pclmuldq", "perfctr-core": "perfctr_core", "perfctr-nb": "perfctr_nb",
    "tsc-adjust": "tsc_adjust",
}  # fmt: skip
"""CPU features that users spell otherwise than QEMU."""
KERNELS_NAMES = {
    "avx512_bitalg": "avx512bitalg", "avx512_vbmi2": "avx512vbmi2", "avx512_vnni": "avx512vnni",
    "cr8_legacy": "cr8legacy", "nonstop_tsc": "invtsc", "sse4_1": "sse4.1", "sse4_2": "sse4.2",
    "tsc_deadline_timer": "tsc-deadline",
}  # fmt: skip
"""Flags of /proc/cpuinfo that QEMU spells otherwise, beyond - for _."""
HOSTS_ONLY = frozenset({"cmt", "cvt16", "mbm-local", "mbm-total", "osxsave", "ospke", "pconfig"})
"""Features that users name and hosts have, but that QEMU has no switch for."""
NOT_MIGRATABLE = frozenset({"invtsc", "xsaves"})
"""Features of hosts that a guest which may migrate is not given unasked."""


def qemu_feature(name: str) -> str:
    """QEMU's name of a CPU feature."""
    return QEMU_NAMES.get(name, name.replace("_", "-"))


def user_feature(name: str) -> str:
    """Users' name of a feature of QEMU's."""
    return USERS_NAMES.get(name, name)


def kernel_features(flags: Iterable[str]) -> frozenset[str]:
    """QEMU's names of the flags of /proc/cpuinfo; those that QEMU does not know stay as they are."""
    return frozenset(qemu_feature(KERNELS_NAMES.get(flag, flag)) for flag in flags)
