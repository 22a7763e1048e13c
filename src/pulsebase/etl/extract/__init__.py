"""Extractors: they fetch data from a source and pass them on unchanged."""
