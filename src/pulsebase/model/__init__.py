"""The nouns of Pulsebase and their laws. Pure: nothing here reads a clock, a file, a socket or a setting."""
