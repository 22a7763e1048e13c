"""Where readings are kept. `contract` is the promise, each other folder one way of keeping it."""
