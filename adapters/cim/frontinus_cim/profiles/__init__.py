"""Profiles that bring instances and methods of their own: snapshots, consoles, metrics, migration, jobs, registration."""
