"""``edge-client watch``: a folder's pictures through an outbox that survives a crash."""
