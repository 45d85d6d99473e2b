"""What the provider knows of the engine: the connection, and the mirror of guests, networks, pools and jobs."""
