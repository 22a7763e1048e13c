"""Files that hold health data or keys: their modes, locks, seals, and SQLite databases."""
