"""What every request meets before its route: connections, headers, keys, shares, and how an answer fails."""
