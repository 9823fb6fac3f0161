"""Programs for those who work on sqlml."""
