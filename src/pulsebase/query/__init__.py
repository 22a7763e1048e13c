"""Questions: what is asked in words becomes a plan, the plan a store's answer."""
