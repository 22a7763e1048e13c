"""Who may do what, to whose data: keys, the caller of a request, limits on requests, and the audit of what was done."""
