"""Durable truth: `sqlite.open_store` makes the store that `base` describes."""
