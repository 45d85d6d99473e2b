"""Frontinus on D-Bus: libvirt-dbus's API as org.libvirt, and one of our own as org.frontinus1."""
