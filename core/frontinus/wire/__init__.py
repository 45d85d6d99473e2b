"""The facade on a unix socket: frames, descriptors, and the surface worked out from the facade's own types."""
