"""The classes that are served: our MOF, and what is compiled from it."""
