"""CIM-XML (DSP0200, DSP0201) and the texts in it, read with limits and written as strings. Pure."""
