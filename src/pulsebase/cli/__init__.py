"""The `pulsebase` command: `app.main`. Nothing is imported here, so that a worker loads no commands."""
