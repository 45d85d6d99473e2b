"""Network filters, and the NICs that one is in force on."""
