"""Where readings come from: clients and simulators of wearables. They know protocols and shapes, and no pipeline."""
