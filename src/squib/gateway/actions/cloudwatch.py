"""CloudWatch's rows (service authorization reference, "Amazon CloudWatch")."""

from collections.abc import Mapping
from typing import Final

from squib.gateway.actions.rule import Rule, anything

ROWS: Final[Mapping[str, Rule]] = {
    operation: Rule(f"cloudwatch:{operation}", anything)
    for operation in ("GetMetricData", "GetMetricStatistics", "ListMetrics")
}
"""Operation -> what it asks for."""
