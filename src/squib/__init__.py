"""squib: AWS Lambda on your own machines. See docs/architecture.md for the map."""

__version__ = "0.1.0"
