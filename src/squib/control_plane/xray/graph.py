"""GetServiceGraph and GetTraceGraph: which services call which, and how that went."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from squib.control_plane.xray.assembly import Assembled, Document, assemble, end_s, walk
from squib.control_plane.xray.reading import MAX_TRACE_IDS, PAGE, time_range
from squib.control_plane.xray.subject import FLAGS, ServiceName, root_of, service_of
from squib.control_plane.xray.summary import service_shape
from squib.model.errors import UnsupportedParameter
from squib.model.operation import AuthorizedCall, OperationResult
from squib.model.trace import is_trace_id
from squib.model.trace_errors import InvalidTraceRequest
from squib.model.units import AccountId
from squib.store.traces import Traces

MAX_TRACES: Final = 5_000  # squib's choice: of one graph
_CLIENT: Final = "client"


async def get_service_graph(traces: Traces, call: AuthorizedCall) -> OperationResult:
    """Of all traces of a range of time. Raises InvalidTraceRequest, UnsupportedParameter."""
    given = call.input
    for name in ("GroupName", "GroupARN", "NextToken"):
        if given.get(name):
            raise UnsupportedParameter("GetServiceGraph", name)
    wanted, graph = time_range(call), Graph(call.account_id)
    for _ in range(MAX_TRACES // PAGE):
        found = await traces.between(wanted, limit=PAGE, digest=assemble)
        for trace in found:
            graph.add(trace)
        if len(found) < PAGE:
            output = {
                "StartTime": given["StartTime"],
                "EndTime": given["EndTime"],
                "Services": graph.services(),
                "ContainsOldGroupVersions": False,
            }
            return OperationResult(output=output)
        last = found[-1].stored
        wanted = wanted._replace(after=last.made_at_s, after_id=last.trace_id)
    raise InvalidTraceRequest(f"There are more than {MAX_TRACES} traces in this time: ask for less of it.")


async def get_trace_graph(traces: Traces, call: AuthorizedCall) -> OperationResult:
    """Of some traces. Raises InvalidTraceRequest, UnsupportedParameter."""
    trace_ids = list(dict.fromkeys(call.input["TraceIds"]))
    if call.input.get("NextToken"):
        raise UnsupportedParameter("GetTraceGraph", "NextToken")
    if len(trace_ids) > MAX_TRACE_IDS or not all(is_trace_id(one or "") for one in trace_ids):
        raise InvalidTraceRequest(f"TraceIds must be at most {MAX_TRACE_IDS} ids of traces.")
    graph = Graph(call.account_id)
    for trace in await traces.get(call.account_id, call.region, trace_ids, assemble):
        graph.add(trace)
    return OperationResult(output={"Services": graph.services()})


@dataclass(slots=True)
class _Count:
    """How many requests there were, and how they went."""

    start_s: float = float("inf")
    end_s: float = 0.0
    ok: int = 0
    throttled: int = 0
    failed: int = 0
    """With an error of the client's that is no throttle."""
    faulty: int = 0
    took_s: list[float] = field(default_factory=list)

    def add(self, segment: Document) -> None:
        ended_s = end_s(segment)
        self.start_s = min(self.start_s, segment["start_time"])
        self.end_s = max(self.end_s, ended_s)
        self.took_s.append(round(ended_s - segment["start_time"], 3))
        error, fault, throttle = (segment.get(name) is True for name in FLAGS)
        if fault:
            self.faulty += 1
        elif throttle:
            self.throttled += 1
        elif error:
            self.failed += 1
        else:
            self.ok += 1

    def shape(self) -> dict[str, Any]:
        histogram = [
            {"Value": value, "Count": number} for value, number in sorted(Counter(self.took_s).items())
        ]
        return {
            "StartTime": datetime.fromtimestamp(self.start_s, UTC),
            "EndTime": datetime.fromtimestamp(self.end_s, UTC),
            "SummaryStatistics": {
                "OkCount": self.ok,
                "ErrorStatistics": {
                    "ThrottleCount": self.throttled,
                    "OtherCount": self.failed,
                    "TotalCount": self.throttled + self.failed,
                },
                "FaultStatistics": {"OtherCount": self.faulty, "TotalCount": self.faulty},
                "TotalCount": len(self.took_s),
                "TotalResponseTime": round(sum(self.took_s), 3),
            },
            "ResponseTimeHistogram": histogram,
        }


class Graph:
    """Services, and calls from one to another."""

    def __init__(self, account_id: AccountId) -> None:
        self._account_id = account_id
        self._nodes: dict[ServiceName, _Count] = {}
        self._edges: dict[tuple[ServiceName, ServiceName], _Count] = {}
        self._roots: set[ServiceName] = set()

    def add(self, trace: Assembled) -> None:
        """One trace's calls."""
        owners: dict[str, ServiceName] = {}
        for segment in trace.segments:
            service = service_of(segment, self._account_id)
            owners.update((one["id"], service) for one in walk(segment))
        root = root_of(trace)
        for segment in trace.segments:
            if segment.get("type") == "subsegment":
                continue
            service = service_of(segment, self._account_id)
            self._nodes.setdefault(service, _Count()).add(segment)
            caller = owners.get(segment.get("parent_id", ""))
            if segment is root:
                self._roots.add(service)
                caller = ServiceName(service.name, _CLIENT, self._account_id)
                self._nodes.setdefault(caller, _Count()).add(segment)
            if caller is not None:
                self._edges.setdefault((caller, service), _Count()).add(segment)

    def services(self) -> list[dict[str, Any]]:
        """The shapes, each service under a number."""
        numbers = {service: number for number, service in enumerate(self._nodes)}
        return [
            {
                "ReferenceId": number,
                **service_shape(service),
                "Root": service in self._roots,
                "State": "active",
                **(_times(count) if service.kind == _CLIENT else count.shape()),
                "Edges": list(self._edges_of(service, numbers)),
            }
            for (service, count), number in zip(self._nodes.items(), numbers.values(), strict=True)
        ]

    def _edges_of(self, service: ServiceName, numbers: dict[ServiceName, int]) -> Iterable[dict[str, Any]]:
        for (caller, called), count in self._edges.items():
            if caller == service:
                yield {"ReferenceId": numbers[called], **count.shape(), "Aliases": []}


def _times(count: _Count) -> dict[str, Any]:
    return {key: value for key, value in count.shape().items() if key in ("StartTime", "EndTime")}
