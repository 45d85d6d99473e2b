"""That the VM is what the other groups build on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from frontinus.storage.pools import KINDS


def test_it_runs_this_checkout_as_root_with_a_whole_kernel() -> None:
    assert os.geteuid() == 0 and sys.version_info[:2] == (3, 11) and "logical" in KINDS
    for module in ("dm_mod", "scsi_debug", "nfs", "iscsi_tcp", "vfio_pci"):
        subprocess.run(["modprobe", "--dry-run", module], check=True)
    assert Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()


def test_systemd_is_up() -> None:
    said = subprocess.run(
        ["systemctl", "list-units", "--failed", "--no-legend"], capture_output=True, text=True, check=True
    )
    assert said.stdout == ""
