"""The storage port on Linux."""
