"""The short way of Lambda's Invoke: its route, input and answer without the service model.

Whatever is unusual about a request (a header or parameter that is rarely sent, a value that might violate a
constraint) goes the way of every other operation, so that errors have one source.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from squib.model.operation import OperationResult

_PREFIX: Final = "/2015-03-31/functions/"
_SUFFIX: Final = "/invocations"
_PLAIN_NAME: Final = re.compile(r"[a-zA-Z0-9-_.]{1,64}", re.ASCII)
_PLAIN_QUALIFIER: Final = re.compile(r"[a-zA-Z0-9-_]{1,128}", re.ASCII)
_ARN: Final = re.compile(
    r"arn:aws:lambda:[a-z]{2}-[a-z]{1,12}-\d:\d{12}:function:[a-zA-Z0-9-_]{1,64}(:[a-zA-Z0-9-_]{1,64})?",
    re.ASCII,
)  # a part of what the model's pattern admits, and never over its greatest length
_INVOCATION_TYPES: Final = frozenset(("RequestResponse", "Event", "DryRun"))
_LOG_TYPES: Final = frozenset(("None", "Tail"))


def function_label(method: str, path: str) -> str | None:
    """The function's name, percent-decoded, of an Invoke; None when it is none or not surely one."""
    if method == "POST" and path.startswith(_PREFIX) and path.endswith(_SUFFIX):
        label = path[len(_PREFIX) : -len(_SUFFIX)]
        if "/" not in label and label not in (".", "..") and len(path) > len(_PREFIX) + len(_SUFFIX):
            return unquote(label) if "%" in label else label
    return None


def parse(function_name: str, query: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """The input of an Invoke by member names; None when the model has to look at it."""
    if not (_PLAIN_NAME.fullmatch(function_name) or _ARN.fullmatch(function_name)):
        return None
    found: dict[str, Any] = {"FunctionName": function_name, "Payload": body}
    if query:
        name, _, value = query.partition("=")
        if name != "Qualifier" or not _PLAIN_QUALIFIER.fullmatch(value):
            return None
        found["Qualifier"] = value
    invocation_type = headers.get("x-amz-invocation-type")
    if invocation_type is not None:
        if invocation_type not in _INVOCATION_TYPES:
            return None
        found["InvocationType"] = invocation_type
    log_type = headers.get("x-amz-log-type")
    if log_type is not None:
        if log_type not in _LOG_TYPES:
            return None
        found["LogType"] = log_type
    if "x-amz-client-context" in headers:
        found["ClientContext"] = headers["x-amz-client-context"]
    if "x-amz-tenant-id" in headers or "x-amz-durable-execution-name" in headers:
        return None
    return found


def serialize(result: OperationResult) -> tuple[int, list[tuple[str, str]], bytes] | None:
    """Status, headers and body of an answer; None when it holds what the short way does not know."""
    output = result.output
    known = 0
    headers: list[tuple[str, str]] = []
    for member, name in _HEADERS:
        value = output.get(member)
        if value is not None:
            headers.append((name, value))
        known += member in output
    payload = output.get("Payload")
    status = output.get("StatusCode")
    if known + ("Payload" in output) + ("StatusCode" in output) != len(output):
        return None
    headers.append(_CONTENT_TYPE)
    code = result.status or status or 200
    return code, headers, payload if payload is not None and code != 204 else b""


_HEADERS: Final = (
    ("ExecutedVersion", "X-Amz-Executed-Version"),
    ("FunctionError", "X-Amz-Function-Error"),
    ("LogResult", "X-Amz-Log-Result"),
)
_CONTENT_TYPE: Final = ("Content-Type", "application/json")
