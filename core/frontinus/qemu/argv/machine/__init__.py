"""The machine itself: its options, processors, memory, firmware, and the process around them."""
