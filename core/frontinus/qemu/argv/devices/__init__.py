"""All other devices, one file a family."""
