"""`squib ps`: the execution environments there are."""

from pathlib import Path
from typing import Any

import msgspec

from squib.commands.running import RunningSquib

_HEAD = ("FUNCTION", "REGION", "VERSION", "STATE", "AGE", "INVOKES", "MEMORY", "ENVIRONMENT")
_STATES = {
    "init": "starting",
    "idle": "idle",
    "busy": "busy",
    "finishing": "busy",
    "reinit": "busy",
    "broken": "reset",
    "resetting": "resetting",
    "closing": "stopping",
    "stopping": "stopping",
    "stopped": "stopping",
}
"""What people call the states of `scheduler.environment`."""


class Environment(msgspec.Struct, kw_only=True):
    """A row of the page."""

    environment_id: str
    function_arn: str
    version: str
    state: str
    is_frozen: bool
    age_ms: float
    invocations: int
    memory_peak_bytes: int
    memory_mib: int


class Environments(msgspec.Struct):
    """The page."""

    environments: list[Environment]


def run(data_dir: Path, account: str | None, *, as_json: bool) -> None:
    """Prints them. Raises NoAnswer."""
    squib = RunningSquib(data_dir)
    found: list[Environment] = []
    for account_id in squib.accounts(account):
        page = squib.ask(account_id, "/_squib/environments", Environments)
        found += page.environments if page is not None else []
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        print(table([_HEAD, *(_row(one) for one in found)]))


def _row(one: Environment) -> tuple[str, ...]:
    _, _, _, region, _, _, name = one.function_arn.split(":")
    state = _STATES.get(one.state, one.state)
    return (
        name,
        region,
        one.version,
        "frozen" if one.is_frozen and state == "idle" else state,
        age(one.age_ms / 1000),
        str(one.invocations),
        f"{-(-one.memory_peak_bytes // 1_048_576)}/{one.memory_mib} MB",
        one.environment_id,
    )


def age(seconds: float) -> str:
    """`42s`, `5m`, `3h`, `2d`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def table(rows: list[tuple[Any, ...]]) -> str:
    """Columns as wide as what stands in them."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
