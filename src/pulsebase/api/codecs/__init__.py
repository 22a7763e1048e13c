"""Bytes on the wire and columns in memory: bodies that come in, answers that go out."""
