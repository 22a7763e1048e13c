"""The HTTP shapes: parameters that are checked here, and answers as the OpenAPI document shows them."""
