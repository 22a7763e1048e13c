"""Transformers: pure functions from what a source said to rows of ours."""
