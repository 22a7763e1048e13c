"""People and devices: their numbers, attributes, priorities, removal, and readings that expire."""
