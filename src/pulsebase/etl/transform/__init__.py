"""Transformers: pure functions from a source's data to our rows."""
