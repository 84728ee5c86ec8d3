"""GetSamplingRules and GetSamplingTargets: the default rule, which is the only one there is."""

from datetime import UTC, datetime
from typing import Any, Final

from squib.clock import Clock
from squib.model.operation import AuthorizedCall, OperationResult
from squib.scheduler.sampling import FIXED_RATE, RESERVOIR_PER_S

DEFAULT: Final = "Default"
TARGET_TTL_S: Final = (
    10  # X-Ray developer guide, "Using sampling rules": targets are asked for every ten seconds
)
_PRIORITY: Final = 10_000
_MADE_AT: Final = datetime(1970, 1, 1, tzinfo=UTC)


def get_sampling_rules(call: AuthorizedCall) -> OperationResult:
    """The default rule."""
    rule = {
        "RuleName": DEFAULT,
        "RuleARN": f"arn:aws:xray:{call.region}:{call.account_id}:sampling-rule/{DEFAULT}",
        "ResourceARN": "*",
        "Priority": _PRIORITY,
        "FixedRate": FIXED_RATE,
        "ReservoirSize": RESERVOIR_PER_S,
        "ServiceName": "*",
        "ServiceType": "*",
        "Host": "*",
        "HTTPMethod": "*",
        "URLPath": "*",
        "Version": 1,
        "Attributes": {},
    }
    record = {"SamplingRule": rule, "CreatedAt": _MADE_AT, "ModifiedAt": _MADE_AT}
    return OperationResult(output={"SamplingRuleRecords": [record]})


def get_sampling_targets(clock: Clock, call: AuthorizedCall) -> OperationResult:
    """What a client may sample for the next seconds: all of the default rule, as if there were no other."""
    until = datetime.fromtimestamp(clock.now_ms() // 1000 + TARGET_TTL_S, UTC)
    targets: list[dict[str, Any]] = []
    unprocessed: list[dict[str, Any]] = []
    for asked in call.input["SamplingStatisticsDocuments"]:
        name = asked["RuleName"]
        if name != DEFAULT:
            unprocessed.append(
                {"RuleName": name, "ErrorCode": "404", "Message": f"Sampling rule {name} does not exist."}
            )
            continue
        targets.append(
            {
                "RuleName": DEFAULT,
                "FixedRate": FIXED_RATE,
                "ReservoirQuota": RESERVOIR_PER_S,
                "ReservoirQuotaTTL": until,
                "Interval": TARGET_TTL_S,
            }
        )
    output = {
        "SamplingTargetDocuments": targets,
        "LastRuleModification": _MADE_AT,
        "UnprocessedStatistics": unprocessed,
    }
    return OperationResult(output=output)
