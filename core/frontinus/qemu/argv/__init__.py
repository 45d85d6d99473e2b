"""From a completed guest to QEMU's command line: one file a family, joined here in QEMU's order."""
