"""What is asked of a trace, or of one service in it: flags, numbers, texts, annotations. Pure.

The indexed fields of X-Ray's filter expressions, read from documents that anybody may have sent: what has
not the form it should have is not there.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from squib.control_plane.xray.assembly import Assembled, Document, end_s, walk
from squib.model.units import AccountId

Value: TypeAlias = bool | float | str

FLAGS: Final = ("error", "fault", "throttle")
_REQUEST: Final = {
    "http.url": "url",
    "http.method": "method",
    "http.useragent": "user_agent",
    "http.clientip": "client_ip",
}


class ServiceName(NamedTuple):
    """A service: what segments say that they come from."""

    name: str
    kind: str
    """`AWS::Lambda::Function`; empty where a segment does not say."""
    account_id: AccountId


class Subject(NamedTuple):
    """A trace, or one of its segments."""

    flags: Mapping[str, bool]
    numbers: Mapping[str, float]
    texts: Mapping[str, Sequence[str]]
    annotations: Mapping[str, Sequence[Value]]
    services: Sequence[tuple[ServiceName, "Subject"]] = ()


def of_segment(segment: Document) -> Subject:
    """One service's part."""
    flags, numbers, texts = _fields(segment)
    numbers["responsetime"] = numbers["duration"] = end_s(segment) - segment["start_time"]
    return Subject(flags, numbers, texts, _annotations([segment]))


def of_trace(trace: Assembled, account_id: AccountId) -> Subject:
    """The whole: what it says of itself is what its root says."""
    root = root_of(trace)
    flags, numbers, texts = _fields(root) if root is not None else ({}, {}, {})
    numbers["duration"] = trace.duration_s
    if root is not None:
        numbers["responsetime"] = end_s(root) - root["start_time"]
    flags["partial"] = is_partial(trace)
    users = {one["user"] for one in trace.segments if isinstance(one.get("user"), str)}
    arns = {one["resource_arn"] for one in trace.segments if isinstance(one.get("resource_arn"), str)}
    texts["user"], texts["resource.arn"] = sorted(users), sorted(arns)
    services = [(service_of(one, account_id), of_segment(one)) for one in trace.segments]
    return Subject(flags, numbers, texts, _annotations(trace.segments), services)


def root_of(trace: Assembled) -> Document | None:
    """The segment that began it all: of those whose parent is not in the trace, the first."""
    known = {segment["id"] for segment in trace.segments}
    roots = [one for one in trace.segments if one.get("type") != "subsegment"]
    return next((one for one in roots if one.get("parent_id") not in known), roots[0] if roots else None)


def is_partial(trace: Assembled) -> bool:
    """Something in it is in progress."""
    return any(segment.get("end_time") is None for segment in trace.segments)


def service_of(segment: Document, account_id: AccountId) -> ServiceName:
    """Whose segment it is."""
    origin = segment.get("origin")
    return ServiceName(segment["name"], origin if isinstance(origin, str) else "", account_id)


def http_of(segment: Document, part: str) -> Mapping[str, Any]:
    """`request` or `response` of its HTTP block."""
    http = segment.get("http")
    found = http.get(part) if isinstance(http, dict) else None
    return found if isinstance(found, dict) else {}


def annotations_of(segment: Document) -> Iterator[tuple[str, Value]]:
    """Of a segment and of all that is below it."""
    for one in walk(segment):
        given = one.get("annotations")
        if isinstance(given, dict):
            for name, value in given.items():
                if isinstance(value, bool | int | float | str):
                    yield name, value


def _fields(
    segment: Document,
) -> tuple[dict[str, bool], dict[str, float], dict[str, Sequence[str]]]:
    flags = {name: segment.get(name) is True for name in FLAGS}
    flags["ok"] = not any(flags.values())
    numbers: dict[str, float] = {}
    status = http_of(segment, "response").get("status")
    if isinstance(status, int) and not isinstance(status, bool):
        numbers["http.status"] = status
    request = http_of(segment, "request")
    texts: dict[str, Sequence[str]] = {
        keyword: [request[member]] if isinstance(request.get(member), str) else []
        for keyword, member in _REQUEST.items()
    }
    user, arn = segment.get("user"), segment.get("resource_arn")
    texts["user"] = [user] if isinstance(user, str) else []
    texts["resource.arn"] = [arn] if isinstance(arn, str) else []
    return flags, numbers, texts


def _annotations(segments: Sequence[Document]) -> dict[str, list[Value]]:
    found: dict[str, list[Value]] = {}
    for segment in segments:
        for name, value in annotations_of(segment):
            found.setdefault(name, []).append(value)
    return found
