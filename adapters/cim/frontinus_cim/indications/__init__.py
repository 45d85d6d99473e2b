"""What happens, as indications to those who subscribed (DSP1054)."""
