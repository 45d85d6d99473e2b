"""CPUs: the element, the named models and features, what a host has of them, and how two compare."""
