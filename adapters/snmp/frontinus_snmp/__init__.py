"""Frontinus over SNMP: VM-MIB (RFC 7666) answered from memory, over SNMPv3 with authentication and privacy."""
