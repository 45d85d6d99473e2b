"""What clients subscribed to: filters, collections of them, receivers; kept on disk (DSP1054)."""
