"""Every row of every service."""

from collections.abc import Mapping
from typing import Final

from squib.gateway.actions import cloudwatch, iam, lambda_, logs, sqs, sts, xray
from squib.gateway.actions.rule import Rule

TABLE: Final[Mapping[tuple[str, str], Rule]] = {
    (service, operation): rule
    for service, rows in (
        ("iam", iam.ROWS),
        ("lambda", lambda_.ROWS),
        ("logs", logs.ROWS),
        ("monitoring", cloudwatch.ROWS),
        ("sqs", sqs.ROWS),
        ("sts", sts.ROWS),
        ("xray", xray.ROWS),
    )
    for operation, rule in rows.items()
}
"""(service, operation) -> rule. A handler without a row is a fault: its calls would be refused."""
