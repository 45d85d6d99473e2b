"""Disks and all that images are made of: nodes, protocols, groups of descriptors."""
