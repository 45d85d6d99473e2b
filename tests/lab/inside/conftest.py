"""What runs inside the lab's VM, and nowhere else: these tests load modules, make disks, start servers."""

from __future__ import annotations

import os

INSIDE = os.environ.get("FRONTINUS_LAB") == "1"
collect_ignore_glob = [] if INSIDE else ["*"]
