"""The runtime names that CreateFunction and UpdateFunctionConfiguration take.

Whether this machine can run one is not known here.
"""

import hashlib
from typing import Final

from squib.model.errors import InvalidParameterValue
from squib.model.units import Region

_NAMED_IN_ERRORS: Final = (
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, "
    "python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, "
    "dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2"
)  # recorded from AWS, 2025-2026, in this order

_NEWER: Final = frozenset(
    ("nodejs26.x", "python3.15", "ruby4.0", "java8.al2023", "java11.al2023", "java17.al2023")
)  # botocore's Lambda model, enum Runtime; added after the list above was recorded

SUPPORTED: Final = frozenset(_NAMED_IN_ERRORS.split(", ")) | _NEWER
"""Runtimes that a function may be created with."""

DEPRECATED: Final = frozenset(
    (
        *("nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "nodejs10.x", "nodejs12.x"),
        *("nodejs14.x", "python2.7", "python3.6", "python3.7", "java8", "go1.x", "ruby2.5", "ruby2.7"),
        *("dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "provided"),
    )
)
"""Names of the model that AWS no longer takes (recorded for eight of them)."""


def check_runtime(name: str) -> None:
    """Raises InvalidParameterValue, in AWS's words, for a runtime that is deprecated or unknown."""
    if name in SUPPORTED:
        return
    if name in DEPRECATED:
        raise InvalidParameterValue(
            f"The runtime parameter of {name} is no longer supported for creating or updating AWS Lambda "
            "functions. We recommend you use a supported runtime while creating or updating functions."
        )
    raise InvalidParameterValue(
        f"Value {name} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
        f"[{_NAMED_IN_ERRORS}] or be a valid ARN"
    )


def runtime_version_arn(name: str, region: Region) -> str:
    """`RuntimeVersionArn`: names the runtime as squib provides it. Equal runtimes have equal ARNs."""
    return f"arn:aws:lambda:{region}::runtime:{hashlib.sha256(f'squib runtime {name}'.encode()).hexdigest()}"
