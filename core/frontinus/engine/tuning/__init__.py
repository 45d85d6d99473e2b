"""What a guest may take and where it runs, and how that changes while it does."""
