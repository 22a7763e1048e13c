"""The state machine, from `pulsebase.testing`."""

from pulsebase.testing import machine_of

__all__ = ["machine_of"]
