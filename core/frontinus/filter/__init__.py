"""Network filters, without I/O: the language, its instantiation for a NIC, and its translation to nftables."""
