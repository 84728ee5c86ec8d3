"""The level of a line of application logs, where a function's logs are JSON: which lines are kept. Pure.

Lambda developer guide, "Log-level filtering": runtimes and logging methods that do not filter by themselves
write JSON objects with a `level`; an object without a level that is known counts as INFO. A line that is no
object has no level and is kept, whatever it says.
"""

from typing import Final

import msgspec

from squib.model.function import LoggingConfig

LEVELS: Final = {
    name: number for number, name in enumerate(("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"))
}
_KNOWN: Final = {**LEVELS, "WARNING": LEVELS["WARN"], "CRITICAL": LEVELS["FATAL"]}  # Python's names too
_INFO: Final = LEVELS["INFO"]


class _Line(msgspec.Struct):
    level: object = None


_decode: Final = msgspec.json.Decoder(_Line).decode


def least_level(logging: LoggingConfig) -> int:
    """The level below which lines are left out; the lowest for text, whose lines have none."""
    return LEVELS.get(logging.application_log_level or "", 0) if logging.log_format == "JSON" else 0


def is_kept(line: str, least: int) -> bool:
    """Whether a line is of a level that is `least` or above."""
    if least == 0 or not line.startswith("{"):
        return True
    try:
        level = _decode(line).level
    except (msgspec.DecodeError, RecursionError):
        return True
    return (_KNOWN.get(level.upper(), _INFO) if isinstance(level, str) else _INFO) >= least
