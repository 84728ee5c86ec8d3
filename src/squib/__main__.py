"""Runs the command line: `python -m squib`."""

from squib.cli import main

raise SystemExit(main())
