"""What a server store keeps in PostgreSQL besides readings: people and what is known of them, origins, erasures."""
