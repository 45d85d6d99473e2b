"""The realm of org.frontinus1: the API of our own."""
