"""What commands use of `pulsebase.session`."""

from pulsebase.session import RefusedError, answer_of, client_at, detail_of, listening, session

__all__ = ["RefusedError", "answer_of", "client_at", "detail_of", "listening", "session"]
