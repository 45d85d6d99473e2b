"""Snapshots, checkpoints and backups of a guest."""
