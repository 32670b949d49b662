"""What each module decides is said at its top."""
