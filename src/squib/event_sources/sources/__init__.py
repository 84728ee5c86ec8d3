"""Kinds of sources, one module each; none knows another."""
