"""Virtual networks: what they are, and what the host must be told for them. No I/O."""
