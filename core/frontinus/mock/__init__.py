"""Every port in memory: for tests, for adapters' load tests, and for users who try Frontinus without QEMU."""
