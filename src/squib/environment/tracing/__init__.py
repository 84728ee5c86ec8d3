"""Traces of functions: the segments that Lambda writes, and those that SDKs send."""
