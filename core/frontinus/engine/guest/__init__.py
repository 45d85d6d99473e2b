"""What is done with one guest, from its definition to its end: started, saved, changed, talked to, looked into."""
