"""Virtual networks, and the guests' NICs on them."""
