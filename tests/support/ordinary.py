"""Running our programs as an ordinary user, also from a checkout and a Python that only root can reach."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

CORE = Path(__file__).parents[2] / "core"
NOBODY = 65534
MOUNTS = 'mount --bind "$1" "$2" && mount --bind "$3" "$4" && mount --bind "$5" "$6" && shift 6 && exec "$@"'


def ordinary(place: Path, module: str) -> tuple[list[str], dict[str, str]]:
    """The words before a module's arguments, and its environment: code and Python are mounted under `place` for it."""
    mounts: list[str] = []
    for source, name in (
        (Path(sys.base_prefix), "python"),
        (Path(sysconfig.get_path("purelib")), "site"),
        (CORE, "core"),
    ):
        (place / name).mkdir(exist_ok=True)
        (place / name).chmod(0o755)
        mounts += [str(source), str(place / name)]
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    python = str(place / "python/bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}")
    words = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", *mounts, *user, python, "-m", module]
    return words, {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{place}/core:{place}/site", "PYTHONDONTWRITEBYTECODE": "1"}
