"""The laws of stores, by subject; `suite` puts them together."""
