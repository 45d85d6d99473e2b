"""Frontinus: one engine for a KVM/QEMU host, many protocols."""

__version__ = "0.1.0"
