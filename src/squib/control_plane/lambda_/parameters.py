"""What CreateFunction and the Updates take: each parameter checked, and turned into fields of the model.

The service model's own constraints (lengths, ranges, patterns, enums) have been checked by the gateway. Here
are the rules beyond it, and the refusal of whatever has no effect in squib yet. Pure.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from squib.model.errors import (
    AccessDenied,
    InvalidParameterValue,
    RequestEntityTooLarge,
    UnsupportedParameter,
)
from squib.model.function import LoggingConfig
from squib.model.limits import MAX_ENVIRONMENT_BYTES, MAX_ZIP_UPLOAD_BYTES
from squib.model.runtime import check_runtime
from squib.model.secret import SecretMap
from squib.model.units import AccountId

Input = Mapping[str, Any]

RESERVED_VARIABLES: Final = frozenset(
    (
        *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV"),
        *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"),
        *("AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"),
        *("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"),
    )
)
"""Lambda developer guide, "Defined runtime environment variables": the reserved ones."""

_ROLE: Final = re.compile(r"arn:aws[a-zA-Z-]*:iam::(\d{12}):role/[^/].*", re.ASCII)
_DEAD_LETTER: Final = re.compile(
    r"arn:aws[a-zA-Z-]*:(sqs|sns):[a-z0-9-]+:\d{12}:(?!.*\.fifo$)[A-Za-z0-9_.-]+", re.ASCII
)
_JSON_LEVEL: Final = "INFO"  # recorded: both levels of a function whose log format becomes JSON


def _falsy(value: Any) -> bool:
    return not value


def _without(*members: str) -> Callable[[Any], bool]:
    return lambda value: not any(value.get(member) for member in members)


_NO_EFFECT: Final[Mapping[str, Callable[[Any], bool]]] = {
    "FileSystemConfigs": _falsy,
    "ImageConfig": _without("EntryPoint", "Command", "WorkingDirectory"),
    "KMSKeyArn": _falsy,
    "PackageType": lambda value: value == "Zip",
    "SourceKMSKeyArn": _falsy,
    "VpcConfig": _without("Ipv6AllowedForDualStack"),
}
"""Parameters that squib does not build yet: the values that ask for nothing, and are therefore taken."""

_INSTEAD: Final = {
    "FileSystemConfigs": (
        "Leave it out: EphemeralStorage sizes /tmp up to 10,240 MB, layers bring files that are only read."
    ),
    "ImageConfig": "Leave it out, and give the code as a zip archive.",
    "KMSKeyArn": "Leave it out: variables are sealed with the key of the data directory.",
    "PackageType": "Give the code as a zip archive, with Runtime and Handler.",
    "SourceKMSKeyArn": "Leave it out, and give an archive that is not encrypted.",
    "VpcConfig": "Leave it out: there are no VPCs, functions reach what this machine reaches.",
}
"""What to do where a parameter is refused."""


def refuse_unsupported(operation: str, given: Input, *, handled: frozenset[str]) -> None:
    """Raises UnsupportedParameter for a parameter that would be without effect, known or new to squib."""
    for name, value in given.items():
        if value is None or name in handled:
            continue
        asks_nothing = _NO_EFFECT.get(name)
        if asks_nothing is None or not asks_nothing(value):
            raise UnsupportedParameter(operation, name, _INSTEAD.get(name, ""))


def s3_object(operation: str, given: Input) -> tuple[str, str, str | None] | None:
    """Bucket, key and version of the object among the code parameters; None when it is not there alone."""
    if given.get("ZipFile") is not None or not given.get("S3Bucket") or not given.get("S3Key"):
        return None
    for name, value in given.items():
        if value and name not in _S3_MEMBERS and (name, value) != ("S3ObjectStorageMode", "COPY"):
            raise UnsupportedParameter(operation, name)
    return given["S3Bucket"], given["S3Key"], given.get("S3ObjectVersion")


_S3_MEMBERS: Final = ("S3Bucket", "S3Key", "S3ObjectVersion")


def zip_content(operation: str, given: Input) -> bytes:
    """The archive among the code parameters. What the archive holds is checked elsewhere."""
    others = [name for name, value in given.items() if name != "ZipFile" and value]
    content: bytes | None = given.get("ZipFile")
    if content is None:
        if not set(others) - {*_S3_MEMBERS, "S3ObjectStorageMode"}:
            raise InvalidParameterValue("Please provide a source for function code.")
        raise UnsupportedParameter(operation, others[0])
    if others:
        raise InvalidParameterValue(
            "Please do not provide other FunctionCode parameters when providing a ZipFile."
        )
    if len(content) > MAX_ZIP_UPLOAD_BYTES:
        raise RequestEntityTooLarge(f"Zipped size must be smaller than {MAX_ZIP_UPLOAD_BYTES} bytes")
    return content


def check_role(role_arn: str, account_id: AccountId) -> None:
    """A function's role must be a role, and of the function's own account."""
    found = _ROLE.fullmatch(role_arn)
    if found is None:
        raise not_assumable()
    if found[1] != account_id:
        raise AccessDenied("Cross-account pass role is not allowed.")


def not_assumable() -> InvalidParameterValue:
    """The role is none, does not exist, or does not trust Lambda."""
    return InvalidParameterValue("The role defined for the function cannot be assumed by Lambda.")


def environment_variables(environment: Input) -> Mapping[str, str]:
    """`Environment` as a map of variables."""
    variables: Mapping[str, str] = environment.get("Variables") or {}
    reserved = [name for name in variables if name in RESERVED_VARIABLES]
    if reserved:
        raise InvalidParameterValue(
            "Lambda was unable to configure your environment variables because the environment variables you "
            "have provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    for name, value in variables.items():
        _check_text(value, f"environment.variables.{name}")
    measured = msgspec.json.encode(variables)
    if len(measured) > MAX_ENVIRONMENT_BYTES:
        raise InvalidParameterValue(
            "Lambda was unable to configure your environment variables because the environment variables you "
            f"have provided exceeded the 4KB limit. String measured: {measured.decode()}"
        )
    return dict(variables)


def logging_config(given: Input, current: LoggingConfig) -> LoggingConfig:
    """`LoggingConfig` laid over what applies now. Levels exist in the JSON format only."""
    log_format = given.get("LogFormat") or current.log_format
    application, system = given.get("ApplicationLogLevel"), given.get("SystemLogLevel")
    if log_format != "JSON":
        if application or system:
            raise InvalidParameterValue(
                'LogLevel is not supported when LogFormat is set to "Text". '
                'Remove LogLevel from your request or change the LogFormat to "Json" and try again.'
            )
    else:
        application = application or current.application_log_level or _JSON_LEVEL
        system = system or current.system_log_level or _JSON_LEVEL
    return LoggingConfig(
        log_format=log_format,
        log_group=given.get("LogGroup") or current.log_group,
        application_log_level=application,
        system_log_level=system,
    )


def fields(given: Input, *, account_id: AccountId) -> dict[str, Any]:
    """Fields of FunctionVersion for every configuration parameter that is given, each checked, but for
    `logging`, which depends on what applies now: see `logging_config`."""
    changed: dict[str, Any] = {}
    for name, field in _PLAIN.items():
        value = given.get(name)
        if value is not None:
            if isinstance(value, str):
                _check_text(value, name[0].lower() + name[1:])
            changed[field] = value
    if "runtime" in changed:
        check_runtime(changed["runtime"])
    if "role_arn" in changed:
        check_role(changed["role_arn"], account_id)
    if given.get("Environment") is not None:
        changed["environment_variables"] = SecretMap(environment_variables(given["Environment"]))
    if given.get("EphemeralStorage") is not None:
        changed["ephemeral_mib"] = given["EphemeralStorage"]["Size"]
    if given.get("SnapStart") is not None:
        changed["snap_start"] = given["SnapStart"].get("ApplyOn") or "None"
    if (given.get("TracingConfig") or {}).get("Mode") is not None:
        changed["tracing_mode"] = given["TracingConfig"]["Mode"]
    if given.get("DeadLetterConfig") is not None:
        changed["dead_letter_arn"] = _dead_letter(given["DeadLetterConfig"].get("TargetArn"))
    if given.get("VpcConfig") is not None:
        _check_vpc(given["VpcConfig"])
        changed["extra"] = {"VpcConfig": _NO_VPC}
    return changed


def architecture(given: Input) -> Mapping[str, str]:
    """The field of `Architectures`, if that is given."""
    architectures: Sequence[str] | None = given.get("Architectures")
    return {"architecture": architectures[0]} if architectures else {}


_PLAIN: Final = {
    "Runtime": "runtime",
    "Handler": "handler",
    "Role": "role_arn",
    "Description": "description",
    "Timeout": "timeout_s",
    "MemorySize": "memory_mib",
}
_NO_VPC: Final = {"Ipv6AllowedForDualStack": False, "SecurityGroupIds": [], "SubnetIds": [], "VpcId": ""}
CONFIGURATION: Final = frozenset(
    (
        *(*_PLAIN, "Environment", "EphemeralStorage", "LoggingConfig", "DeadLetterConfig"),
        *("SnapStart", "TracingConfig"),
    )
)
"""Configuration parameters that take effect."""


def _dead_letter(arn: str | None) -> str | None:
    """A standard queue or topic (developer guide, "Dead-letter queues"); an empty text takes it away."""
    if not arn:
        return None
    if _DEAD_LETTER.fullmatch(arn) is None:
        raise InvalidParameterValue(
            f"The provided dead-letter target {arn} is invalid: it must be a standard SQS queue or SNS topic."
        )
    return arn


def _check_vpc(given: Input) -> None:
    """There is no VPC here, so that AWS's answer to subnets and groups that do not exist is the true one."""
    subnets: Sequence[str] = given.get("SubnetIds") or ()
    groups: Sequence[str] = given.get("SecurityGroupIds") or ()
    if subnets:
        raise InvalidParameterValue(
            "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. "
            f"EC2 Error Message: The subnet ID '{subnets[0]}' does not exist"
        )
    if groups:
        raise InvalidParameterValue(
            "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound. "
            f"EC2 Error Message: The security group '{groups[0]}' does not exist"
        )


def _check_text(value: str, member: str) -> None:
    """Text that reaches a process: a null character or half a surrogate pair cannot."""
    if "\0" not in value:
        try:
            value.encode()
            return
        except UnicodeEncodeError:
            pass
    raise InvalidParameterValue(f"The value at '{member}' contains a character that is not supported.")
