"""The state port on files: definitions and run state that survive a crash of the engine, and of the host."""
