"""What happens, told to whoever asked for it: webhooks, and signals, which are rules over what is stored."""
