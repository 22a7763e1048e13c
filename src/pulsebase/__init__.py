"""Pulsebase: a self-hosted platform for heart-rate time series."""

from importlib.metadata import version

__version__ = version("pulsebase")
