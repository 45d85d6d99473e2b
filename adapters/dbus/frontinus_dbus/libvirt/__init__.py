"""The realm of org.libvirt: libvirt-dbus's API, one file an interface or a concern of one."""
