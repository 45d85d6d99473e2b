"""Which processors a named model stands for: the family, model and stepping numbers of CPUID leaf 1, as Intel and AMD
publish them. QEMU's table has one pair of numbers a model; hosts of the same generation have others.
"""

from __future__ import annotations

Row = tuple[int, tuple[int, ...], range]
ANY = range(16)

GENERATIONS: dict[str, Row] = {
    "Conroe": (6, (15, 22), ANY), "Penryn": (6, (23, 29), ANY), "Nehalem": (6, (26, 30, 31, 46), ANY),
    "Westmere": (6, (37, 44, 47), ANY), "SandyBridge": (6, (42, 45), ANY), "IvyBridge": (6, (58, 62), ANY),
    "Haswell": (6, (60, 63, 69, 70), ANY), "Broadwell": (6, (61, 71, 79, 86), ANY),
    "Skylake-Client": (6, (78, 94, 142, 158), ANY), "Skylake-Server": (6, (85,), range(5)),
    "Cascadelake-Server": (6, (85,), range(5, 8)), "Cooperlake": (6, (85,), range(10, 12)),
    "Icelake-Client": (6, (125, 126), ANY), "Icelake-Server": (6, (106, 108), ANY), "Snowridge": (6, (134,), ANY),
    "SapphireRapids": (6, (143,), ANY), "GraniteRapids": (6, (173, 174), ANY), "SierraForest": (6, (175,), ANY),
    "EPYC": (23, (1,), ANY), "EPYC-Rome": (23, (49,), ANY), "EPYC-Milan": (25, (1,), ANY),
    "EPYC-Genoa": (25, (16, 17), ANY), "EPYC-Turin": (26, (0, 1, 2), ANY), "Dhyana": (24, (0,), ANY),
}  # fmt: skip
VARIANTS = ("-noTSX-IBRS", "-noTSX", "-IBRS", "-IBPB")
"""What models of one generation differ by in name."""


def generation(name: str) -> Row | None:
    """The numbers that a model stands for; None where QEMU's own are all there are."""
    base = next((name.removesuffix(end) for end in VARIANTS if name.endswith(end)), name)
    return GENERATIONS.get(base)
