"""The network: sockets, the page, the Prometheus endpoint, event streams."""
