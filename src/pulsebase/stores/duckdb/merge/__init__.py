"""From the stage to ordered readings and rollups, and what keeps them in order."""
