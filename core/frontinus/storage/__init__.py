"""Storage, the pure part: what pools, volumes and secrets are, and how the tools of a host are told."""
