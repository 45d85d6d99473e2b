"""Snapshots, checkpoints and backups of a guest, and the chains of layers that they leave: pure."""
