"""Simulators of wearable clouds: real HTTP servers with the vendors' shapes and faults, and made-up people behind."""
