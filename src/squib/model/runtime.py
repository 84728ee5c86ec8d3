"""The runtime names that CreateFunction and UpdateFunctionConfiguration take.

Whether this machine can run one is not known here.
"""

import hashlib
from typing import Final

from squib.model.errors import InvalidParameterValue
from squib.model.limits import SNAP_START_EPHEMERAL_MIB
from squib.model.units import Region

NAMED_IN_ERRORS: Final = (
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, "
    "python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, "
    "dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2"
)  # recorded from AWS, 2025-2026, in this order
"""The runtimes that error texts list for functions and for what layers are published for."""

NAMED_IN_LAYER_FILTERS: Final = (
    "ruby3.5, ruby2.6, dotnetcore1.0, python3.7, nodejs8.10, nasa, ruby2.7, python2.7-greengrass, "
    "dotnetcore2.0, python3.8, java21, dotnet6, dotnetcore2.1, python3.9, java11, nodejs6.10, provided, "
    "dotnetcore3.1, dotnet8, java25, java17, nodejs, nodejs4.3, java8.al2, go1.x, dotnet10, nodejs20.x, "
    "go1.9, byol, nodejs10.x, provided.al2023, nodejs22.x, python3.10, java8, nodejs12.x, python3.11, "
    "nodejs24.x, nodejs8.x, python3.12, nodejs14.x, nodejs8.9, nodejs26.x, python3.13, python3.14, "
    "nodejs16.x, python3.15, provided.al2, nodejs4.3-edge, nodejs18.x, ruby3.2, python3.4, ruby3.3, ruby3.4, "
    "ruby2.5, python3.6, python2.7"
)  # recorded from AWS, 2026-01, in this order
"""The runtimes that error texts list where layers are listed by runtime."""

_NEWER: Final = frozenset(
    ("nodejs26.x", "python3.15", "ruby4.0", "java8.al2023", "java11.al2023", "java17.al2023")
)  # botocore's Lambda model, enum Runtime; added after the list above was recorded

SUPPORTED: Final = frozenset(NAMED_IN_ERRORS.split(", ")) | _NEWER
"""Runtimes that a function may be created with."""

WITH_SNAP_START: Final = SUPPORTED & frozenset(
    (
        *("java11", "java17", "java21", "java25", "java11.al2023", "java17.al2023"),
        *("dotnet8", "dotnet10", *(name for name in SUPPORTED if name.startswith("python"))),
    )
)
"""Lambda developer guide, SnapStart, "Supported features": Java 11, Python 3.12, .NET 8 and later; here every
Python has it."""

DEPRECATED: Final = frozenset(
    (
        *("nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "nodejs10.x", "nodejs12.x"),
        *("nodejs14.x", "python2.7", "python3.6", "python3.7", "java8", "go1.x", "ruby2.5", "ruby2.7"),
        *("dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "provided"),
    )
)
"""Names of the model that AWS no longer takes (recorded for eight of them)."""


def is_known(name: str) -> bool:
    """Whether a layer may name the runtime, old ones included."""
    return name in SUPPORTED or name in DEPRECATED


def check_snap_start(applies_on: str, name: str, ephemeral_mib: int) -> None:
    """Raises InvalidParameterValue where SnapStart is asked for and AWS does not have it for the runtime, or
    for so much ephemeral storage."""
    if applies_on == "None":
        return
    if name not in WITH_SNAP_START:
        raise InvalidParameterValue(f"{name} is not supported for SnapStart enabled functions.")
    if ephemeral_mib > SNAP_START_EPHEMERAL_MIB:  # in the words of the one above
        raise InvalidParameterValue(
            f"EphemeralStorage greater than {SNAP_START_EPHEMERAL_MIB} MB is not supported for SnapStart "
            "enabled functions."
        )


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
        f"[{NAMED_IN_ERRORS}] or be a valid ARN"
    )


def runtime_version_arn(name: str, region: Region) -> str:
    """`RuntimeVersionArn`: names the runtime as squib provides it. Equal runtimes have equal ARNs."""
    return f"arn:aws:lambda:{region}::runtime:{hashlib.sha256(f'squib runtime {name}'.encode()).hexdigest()}"
