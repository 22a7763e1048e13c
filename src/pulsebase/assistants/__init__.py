"""Questions of assistants, by the Model Context Protocol. Everything is asked over the API, and nothing is changed."""
