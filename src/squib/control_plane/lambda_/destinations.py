"""Where the outcome of an asynchronous invocation may go: the rules about destination ARNs."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from squib.model.arn import parse_function_arn
from squib.model.errors import InvalidParameterValue
from squib.model.function import FUNCTIONS, FunctionKey, FunctionVersion
from squib.store.base import Reader

_ACTIONS: Final = {
    "lambda": "lambda:InvokeFunction",
    "sqs": "sqs:SendMessage",
    "sns": "sns:Publish",
    "events": "events:PutEvents",
    "s3": "s3:PutObject",
}
_ARN: Final = re.compile(r"arn:aws[a-zA-Z-]*:([a-zA-Z0-9-]+):([a-z0-9-]*):(\d{12})?:(.+)", re.ASCII)


def check_destinations(reader: Reader, function: FunctionKey, given: Mapping[str, Any]) -> None:
    """Raises InvalidParameterValue for a `DestinationConfig` whose outcomes could go nowhere."""
    arns = {side: (given.get(side) or {}).get("Destination") for side in ("OnSuccess", "OnFailure")}
    for side, arn in arns.items():
        if arn:
            _check(reader, function, arn, is_success=side == "OnSuccess", given=given)


def check_rights(
    function: FunctionVersion, given: Mapping[str, Any], may: Callable[[str, str, str, str], bool]
) -> None:
    """Raises InvalidParameterValue for a destination that the function's role may not deliver to. `given` has
    passed `check_destinations`."""
    for side in ("OnSuccess", "OnFailure"):
        arn: str | None = (given.get(side) or {}).get("Destination")
        if not arn:
            continue
        action = _ACTIONS[arn.split(":")[2]]
        resource = f"{arn}/*" if action == _ACTIONS["s3"] else arn
        if not may(function.role_arn, function.key.name, action, resource):
            raise InvalidParameterValue(
                "The function's execution role does not have permissions to call "
                f"{action.partition(':')[2]} on {arn}"
            )


def _check(
    reader: Reader, function: FunctionKey, arn: str, *, is_success: bool, given: Mapping[str, Any]
) -> None:
    found = _ARN.fullmatch(arn)
    service = found[1] if found is not None else None
    match service:
        case "lambda":
            named = parse_function_arn(arn)
            if named is not None and named.key == function:
                raise InvalidParameterValue("You can't specify the function as a destination for itself.")
            is_here = named is not None and named.key.region == function.region
            if named is None or not is_here or reader.get(FUNCTIONS, named.key) is None:
                raise InvalidParameterValue(f"The destination ARN {arn} is invalid.")
        case "sqs" | "sns":
            if arn.endswith(".fifo"):  # developer guide: asynchronous invocations have no FIFO destinations
                raise _invalid(given)
        case "events":
            if found is None or not found[4].startswith("event-bus/"):
                raise _invalid(given)
        case "s3":
            if is_success:  # developer guide: S3 takes failures only
                raise _invalid(given)
        case _:
            raise _invalid(given)


def _invalid(given: Mapping[str, Any]) -> InvalidParameterValue:
    """In AWS's words, which print the whole configuration as Java does."""
    shown = [
        f"{side[0].lower()}{side[1:]}={_shown(side, given.get(side))}" for side in ("OnSuccess", "OnFailure")
    ]
    return InvalidParameterValue(
        f"The provided destination config DestinationConfig({', '.join(shown)}) is invalid."
    )


def _shown(side: str, given: Mapping[str, Any] | None) -> str:
    return "null" if given is None else f"{side}(destination={given.get('Destination') or 'null'})"
