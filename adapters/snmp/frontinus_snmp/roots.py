"""Where our own objects live."""

from __future__ import annotations

from frontinus_snmp.ber import Oid

ENTERPRISE = 8072
ROOT: Oid = (1, 3, 6, 1, 4, 1, ENTERPRISE, 9999, 9999, 236)
"""The experimental arc below which our own objects live until a number of our own is assigned. Not stable."""
