"""What is committed, as it is committed: the log of commits, who follows it, and who subscribes to it."""
