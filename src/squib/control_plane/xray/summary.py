"""TraceSummary: one trace in a few fields. Pure."""

from typing import Any

from squib.control_plane.xray.assembly import Assembled, Document, end_s
from squib.control_plane.xray.subject import (
    ServiceName,
    Subject,
    Value,
    annotations_of,
    http_of,
    root_of,
    service_of,
)
from squib.model.units import AccountId

_HTTP = {"HttpURL": "url", "HttpMethod": "method", "UserAgent": "user_agent", "ClientIp": "client_ip"}


def summary(trace: Assembled, subject: Subject, account_id: AccountId, *, by_event: bool) -> dict[str, Any]:
    """The shape. What led to faults and slow answers (the root causes) is not worked out."""
    root = root_of(trace)
    shape: dict[str, Any] = {
        "Id": trace.stored.trace_id,
        "Duration": round(trace.duration_s, 3),
        "HasFault": subject.flags.get("fault", False),
        "HasError": subject.flags.get("error", False),
        "HasThrottle": subject.flags.get("throttle", False),
        "IsPartial": subject.flags["partial"],
        "Http": _http(root),
        "Annotations": _annotations(trace, account_id),
        "Users": _users(trace, account_id),
        "ServiceIds": [service_shape(one) for one in dict.fromkeys(name for name, _ in subject.services)],
        "ResourceARNs": [{"ARN": arn} for arn in subject.texts["resource.arn"]],
        "Revision": trace.stored.revision,
    }
    if trace.segments:
        shape["StartTime"] = min(one["start_time"] for one in trace.segments)
    if root is not None:
        shape["ResponseTime"] = round(end_s(root) - root["start_time"], 3)
        shape["EntryPoint"] = service_shape(service_of(root, account_id))
    if by_event:
        shape["MatchedEventTime"] = trace.stored.updated_at_ms / 1000
    return shape


def service_shape(service: ServiceName) -> dict[str, Any]:
    """ServiceId."""
    shape = {"Name": service.name, "Names": [service.name], "AccountId": service.account_id}
    if service.kind:
        shape["Type"] = service.kind
    return shape


def _http(root: Document | None) -> dict[str, Any]:
    if root is None:
        return {}
    request, status = http_of(root, "request"), http_of(root, "response").get("status")
    shape: dict[str, Any] = {
        name: request[member] for name, member in _HTTP.items() if isinstance(request.get(member), str)
    }
    if isinstance(status, int) and not isinstance(status, bool):
        shape["HttpStatus"] = status
    return shape


def _annotations(trace: Assembled, account_id: AccountId) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, dict[tuple[type, Value], list[ServiceName]]] = {}
    for segment in trace.segments:
        service = service_of(segment, account_id)
        for name, value in annotations_of(segment):
            whose = found.setdefault(name, {}).setdefault((type(value), value), [])
            if service not in whose:
                whose.append(service)
    return {
        name: [
            {"AnnotationValue": _value(value), "ServiceIds": [service_shape(one) for one in whose]}
            for (_, value), whose in values.items()
        ]
        for name, values in found.items()
    }


def _value(value: Value) -> dict[str, Value]:
    if isinstance(value, bool):
        return {"BooleanValue": value}
    return {"StringValue": value} if isinstance(value, str) else {"NumberValue": value}


def _users(trace: Assembled, account_id: AccountId) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for segment in trace.segments:
        if isinstance(segment.get("user"), str):
            found.setdefault(segment["user"], []).append(service_shape(service_of(segment, account_id)))
    return [{"UserName": user, "ServiceIds": services} for user, services in found.items()]
