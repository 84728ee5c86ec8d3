"""What is known of every recorded scenario: played and the same, played and different, or not played."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from compat.scenarios import configs, functions, layers, mappings, names, policies, versions
from compat.scenarios.scene import SCENARIOS

_MODULES: Final = (configs, functions, layers, mappings, names, policies, versions)
"""Each registers its scenarios."""

_KNOWN: Final = tomllib.loads(Path(__file__).with_name("outcomes.toml").read_text())


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a scenario ends: `answers` differ from the recorded ones, for the reason `why`."""

    answers: Sequence[str] = ()
    why: str = ""


def outcome(name: str) -> Outcome:
    """The known outcome of a scenario that is played."""
    found = _KNOWN["differs"].get(name)
    return Outcome() if found is None else Outcome(found["answers"], found["why"])


def not_played() -> Mapping[str, str]:
    """Scenario -> why it is not played."""
    return _KNOWN["not_played"]


def differing() -> Mapping[str, Outcome]:
    """Every scenario that is played and differs."""
    return {name: outcome(name) for name in _KNOWN["differs"]}


def played() -> Sequence[str]:
    """Every scenario that is played, in order."""
    return sorted(SCENARIOS.keys() - not_played().keys())
