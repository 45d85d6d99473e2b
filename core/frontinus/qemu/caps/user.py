"""Whom a probe runs as."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from frontinus.ports.resources import Credentials

KVM = Path("/dev/kvm")
NOBODY = 65534


def probe_user() -> Credentials | None:
    """Nobody, in the group that may open /dev/kvm; None, ourselves, when we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        kvm = KVM.stat()
    except OSError:
        return Credentials(NOBODY, NOBODY)
    reachable = kvm.st_gid != 0 and kvm.st_mode & stat.S_IRGRP and kvm.st_mode & stat.S_IWGRP
    return Credentials(NOBODY, NOBODY, (kvm.st_gid,) if reachable else ())
