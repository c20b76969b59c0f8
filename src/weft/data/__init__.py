"""From files to batches: sources, the token store, and which rows go together."""
