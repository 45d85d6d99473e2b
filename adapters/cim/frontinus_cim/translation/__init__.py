"""From settings that clients give to domain and network XML, and what of it would be a change."""
