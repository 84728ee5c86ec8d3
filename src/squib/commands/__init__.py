"""Commands that ask a running squib, one module each. `cli.py` parses their arguments."""
