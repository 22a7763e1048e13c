"""What happens, told to whoever asked for it: webhooks."""
