"""Guests as data: the model of domain XML and the pure functions on it. No I/O here."""
