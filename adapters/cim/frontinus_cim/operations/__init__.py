"""Intrinsic operations (DSP0200 5.3.2), and the service that calls them and the methods."""
