"""Functions in the wire's member names: the only place where fields of the model meet Lambda's own names."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from squib.model.function import FunctionVersion
from squib.model.runtime import runtime_version_arn
from squib.model.units import EpochMs


def configuration(version: FunctionVersion, *, qualifier: str | None = None) -> dict[str, Any]:
    """`FunctionConfiguration` as Create, Update and Get answer it. A `qualifier` ends its ARN."""
    shape = summary(version, qualifier=qualifier)
    shape["State"] = str(version.state)
    shape["RuntimeVersionConfig"] = {
        "RuntimeVersionArn": runtime_version_arn(version.runtime, version.key.region)
    }
    status = version.last_update_status
    optional = {
        "StateReason": version.state_reason,
        "StateReasonCode": version.state_reason_code,
        "LastUpdateStatus": None if status is None else str(status),
        "LastUpdateStatusReason": version.last_update_status_reason,
        "LastUpdateStatusReasonCode": version.last_update_status_reason_code,
    }
    shape.update((name, value) for name, value in optional.items() if value is not None)
    return shape


def summary(version: FunctionVersion, *, qualifier: str | None = None) -> dict[str, Any]:
    """`FunctionConfiguration` as ListFunctions answers it: without states and runtime version."""
    shape: dict[str, Any] = {
        "FunctionName": version.key.name,
        "FunctionArn": version.arn if qualifier is None else version.key.arn(qualifier),
        "Runtime": version.runtime,
        "Role": version.role_arn,
        "Handler": version.handler,
        "CodeSize": version.code.size_bytes,
        "Description": version.description,
        "Timeout": version.timeout_s,
        "MemorySize": version.memory_mib,
        "LastModified": last_modified(version.modified_at_ms),
        "CodeSha256": version.code.sha256_base64(),
        "Version": version.version,
        "TracingConfig": {"Mode": version.tracing_mode},
        "RevisionId": version.revision_id,
        "PackageType": version.package_type,
        "Architectures": [version.architecture],
        "EphemeralStorage": {"Size": version.ephemeral_mib},
        "SnapStart": {"ApplyOn": version.snap_start, "OptimizationStatus": version.snap_start_status},
        "LoggingConfig": _logging(version),
        **version.extra,
    }
    if version.dead_letter_arn is not None:
        shape["DeadLetterConfig"] = {"TargetArn": version.dead_letter_arn}
    if version.layers:
        shape["Layers"] = [
            {"Arn": layer.arn, "CodeSize": layer.content.size_bytes} for layer in version.layers
        ]
    if version.environment_variables is not None:
        shape["Environment"] = {"Variables": dict(version.environment_variables.plain)}
    return shape


def last_modified(at_ms: EpochMs) -> str:
    """`LastModified`, such as `2026-01-31T09:05:00.123+0000`."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}+0000"


def _logging(version: FunctionVersion) -> Mapping[str, str]:
    logging = version.logging
    shape = {"LogFormat": logging.log_format, "LogGroup": logging.log_group}
    if logging.application_log_level is not None:
        shape["ApplicationLogLevel"] = logging.application_log_level
    if logging.system_log_level is not None:
        shape["SystemLogLevel"] = logging.system_log_level
    return shape
