"""The translation without a daemon."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from frontinus.client.offline import argv_lines
from support.guests import document, host, qemu72

ENCRYPTED = ("<disk type='file'><source file='/a'/><target dev='vda'/><encryption format='luks'>"
             "<secret type='passphrase' usage='/a'/></encryption></disk>")  # fmt: skip


def secret(tmp_path: Path, rig: dict[str, object]) -> tuple[str, str]:
    """What the disk's secret looks like."""
    file = tmp_path / "guest.xml"
    file.write_text(document(ENCRYPTED.replace("<source", "<driver type='raw'/><source")))
    (line,) = argv_lines([str(file)], qemu72(), replace(host(), rig=rig))
    words = json.loads(line)["argv"]
    found = next(json.loads(word) for word in words if '"keyid"' in word)
    return found["data"], found["iv"]


def test_a_host_file_says_how_a_sealed_secret_looks(tmp_path: Path) -> None:
    assert secret(tmp_path, {"sealed": {"data": "ZGF0YQ==", "iv": "aXY="}}) == ("ZGF0YQ==", "aXY=")


def test_without_one_a_secret_is_a_placeholder(tmp_path: Path) -> None:
    data, iv = secret(tmp_path, {})
    assert set(data) | set(iv) == {"A", "="}
