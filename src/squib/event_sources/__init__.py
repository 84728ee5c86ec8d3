"""Pollers: they turn messages of queues and records of streams into invocations."""
