"""Sources of readings: clients and simulators of wearables. They know protocols and formats, but no pipeline."""
