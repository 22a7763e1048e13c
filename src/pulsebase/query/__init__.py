"""Answer questions: a question as typed becomes a plan, and a store's answer to it is converted to units."""
