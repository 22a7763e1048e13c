"""The HTTP border: the only part that knows FastAPI."""
