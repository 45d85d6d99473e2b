"""Frontinus for Prometheus: an exporter that reads the engine's monitor socket and can disturb no guest."""
