"""A store inside a program or a notebook, by the same HTTP questions as everywhere: embedded, or on a server."""
