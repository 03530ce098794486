"""Bringing all customers up to a ladder that has come into force: in bulk, in the background, with progress."""
