"""What a subcommand is."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from squib.config import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One subcommand: what it is for, which settings it takes as flags, and what carries it out."""

    name: str
    help: str
    epilog: str
    options: tuple[str, ...]
    run: Callable[[Settings, argparse.Namespace], int]
    arguments: Callable[[argparse.ArgumentParser], None] | None = None
    """Adds what is not a setting."""
