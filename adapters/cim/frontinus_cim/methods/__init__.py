"""Extrinsic methods of systems and services that make, change and remove things."""
