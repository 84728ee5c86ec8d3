"""X-Ray's rows (service authorization reference, "AWS X-Ray")."""

from collections.abc import Mapping
from typing import Final

from squib.gateway.actions.rule import Rule, anything

ROWS: Final[Mapping[str, Rule]] = {
    operation: Rule(f"xray:{operation}", anything)
    for operation in (
        *("BatchGetTraces", "GetSamplingRules", "GetSamplingTargets", "GetServiceGraph", "GetTraceGraph"),
        *("GetTraceSummaries", "PutTelemetryRecords", "PutTraceSegments"),
    )
}
"""Operation -> what it asks for."""
