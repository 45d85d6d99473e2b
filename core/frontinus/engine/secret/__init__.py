"""Secrets: who may have them, and who names them."""
