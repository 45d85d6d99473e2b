"""Images that take what guests write to transient disks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from frontinus.api.errors import HostFailed
from frontinus.domain.plan import Overlay
from frontinus.linux.failing import failing
from frontinus.linux.setup import Maker, Setup, Undo, text

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
SECONDS = 60


class Overlays(Maker[Overlay]):
    """Makes an overlay as the guest's user, who alone reads the image below: its header may be of the guest's making."""

    kinds = ("overlay",)

    def intend(self, resource: Overlay, setup: Setup) -> list[Undo]:
        if os.path.lexists(resource.path):
            raise HostFailed(f"{resource.path} is there already: another guest may use it", what=resource.path)
        return [{"kind": "overlay", "path": resource.path}]

    def make(self, resource: Overlay, records: list[Undo], setup: Setup) -> None:
        with failing("make", resource.path):
            fd = os.open(resource.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                setup.give(fd)
            finally:
                os.close(fd)
        try:
            self._format(resource, setup)
        except HostFailed:
            Path(resource.path).unlink(missing_ok=True)
            raise

    def _format(self, resource: Overlay, setup: Setup) -> None:
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", resource.backing_format, "-b", resource.backing,
                   resource.path]  # fmt: skip
        who = setup.who
        with failing("run", "qemu-img"):
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=ENVIRONMENT,
                    timeout=SECONDS, check=False, user=who.uid if who else None, group=who.gid if who else None,
                    extra_groups=who.groups if who else None,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise HostFailed(f"qemu-img did not make {resource.path} in {SECONDS} s", what=resource.path) from None
        if done.returncode != 0:
            raise HostFailed(f"cannot make {resource.path}: {done.stderr.strip()[-300:]}", what=resource.path)

    def undo(self, record: Mapping[str, object]) -> None:
        Path(text(record, "path")).unlink(missing_ok=True)
