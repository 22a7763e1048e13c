"""Live data: the log of commits, the follower that fills it from a shared store, and subscriptions to it."""
