"""A disk and all that it is made of: images, the places they are in, limits, histograms."""
