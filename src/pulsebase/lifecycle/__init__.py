"""The life cycle of personal data: retention and erasure."""
