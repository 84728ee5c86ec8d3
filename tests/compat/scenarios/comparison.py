"""Whether a live answer is the recorded one, up to what placeholders stand for. Pure.

`<uuid:1>` stands for one value throughout a scenario, and `<uuid:2>` for another one. A few placeholders
stand for a kind of value (`<code-size>`, `<location>`, "date"). Account and region are those of the caller.
"""

import datetime
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_PLACEHOLDER: Final = re.compile(r"<[A-Za-z_]+[A-Za-z0-9_-]*(?::\d+)?>")
_REPEATED: Final = re.compile(r"<(.):len\((\d+)\)>")
_RECORDED_ACCOUNT: Final = "111111111111"
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_LINK: Final = re.compile(r"https?://\S+")


class Comparison:
    """Compares the answers of one scenario, in order, and remembers what each placeholder stands for."""

    def __init__(self, *, account_id: str, region: str, stand_ins: Mapping[str, str] | None = None) -> None:
        """`stand_ins`: recorded runtime -> the one that was used for it."""
        self._account_id = account_id
        self._stand_ins = {} if stand_ins is None else stand_ins
        self._bound: dict[str, str] = {"<partition>": "aws", "<region>": region}

    def differences(self, recorded: Any, live: Any, at: str = "") -> Iterator[str]:
        """What differs, a line for each place."""
        match recorded:
            case "date" | "datetime":
                if not isinstance(live, datetime.datetime) and not _INSTANT.match(str(live)):
                    yield f"{at}: {live!r} is no date"
            case "<code-size>":
                if not isinstance(live, int):
                    yield f"{at}: {live!r} is no size"
            case "<location>" | "<layer-location>" | "lambda-url":
                if not _LINK.match(str(live)):
                    yield f"{at}: {live!r} is no link"
            case "<aws_internal_failure>":
                return  # AWS failed at this call: nothing to compare with
            case str():
                if self._stand_ins and at.endswith(".Runtime"):
                    recorded = self._stand_ins.get(recorded, recorded)
                if not isinstance(live, str) or not self._is_same_text(recorded, live):
                    yield f"{at}: {live!r} instead of {recorded!r}"
            case dict():
                if isinstance(live, str) and live.startswith("{"):
                    live = json.loads(live)  # recorded as parsed: statements and policies
                yield from self._differences_of_members(recorded, live, at)
            case list():
                yield from self._differences_of_items(recorded, live, at)
            case _:
                if live != recorded or isinstance(live, bool) != isinstance(recorded, bool):
                    yield f"{at}: {live!r} instead of {recorded!r}"

    def _differences_of_members(self, recorded: Mapping[str, Any], live: Any, at: str) -> Iterator[str]:
        if not isinstance(live, dict):
            yield f"{at}: {live!r} instead of {recorded!r}"
            return
        for name, value in recorded.items():
            if name not in live:
                yield f"{at}.{name}: absent instead of {value!r}"
            else:
                yield from self.differences(value, live[name], f"{at}.{name}")
        for name in live.keys() - recorded.keys():
            yield f"{at}.{name}: {live[name]!r}, which is not in the recording"

    def _differences_of_items(self, recorded: Sequence[Any], live: Any, at: str) -> Iterator[str]:
        if not isinstance(live, list) or len(live) != len(recorded):
            yield f"{at}: {live!r} instead of {recorded!r}"
            return
        for number, (expected, found) in enumerate(zip(recorded, live, strict=True)):
            yield from self.differences(expected, found, f"{at}[{number}]")

    def _is_same_text(self, recorded: str, live: str) -> bool:
        recorded = _REPEATED.sub(lambda match: match[1] * int(match[2]), recorded)
        recorded = recorded.replace(_RECORDED_ACCOUNT, self._account_id)
        pattern, at, free = "", 0, list[str]()
        for match in _PLACEHOLDER.finditer(recorded):
            pattern += re.escape(recorded[at : match.start()])
            name, at = match[0], match.end()
            if name in self._bound:
                pattern += re.escape(self._bound[name])
            elif name in free:
                pattern += f"(?P=_{free.index(name)})"
            else:
                pattern += f"(?P<_{len(free)}>.+?)"
                free.append(name)
        found = re.fullmatch(pattern + re.escape(recorded[at:]), live, re.DOTALL)
        if found is None:
            return False
        before = dict(self._bound)
        for number, name in enumerate(free):
            value = found[f"_{number}"]
            if self._is_taken(name, value):
                self._bound = before
                return False
            self._bound[name] = value
        return True

    def _is_taken(self, name: str, value: str) -> bool:
        """Another placeholder of the same kind stands for this value."""
        kind, separator, _ = name.rpartition(":")
        return bool(separator) and any(
            bound == value for other, bound in self._bound.items() if other.startswith(f"{kind}:")
        )
