"""How callers name a function: bare name, partial ARN, full ARN, with or without a qualifier.

Holds the parsing only. Lengths and the constraints that an operation's own model sets are checked before, by
the gateway; what is checked here is what depends on who calls and where.
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

from squib.model.errors import AccessDenied, InvalidParameterValue, ResourceNotFound, ValidationException
from squib.model.function import LATEST, FunctionKey
from squib.model.units import AccountId, Region

FUNCTION_NAME_PATTERN: Final = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?"
    r"(function:)?([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)  # botocore's Lambda model, shape NamespacedFunctionName; error texts quote it

_REFERENCE: Final = re.compile(FUNCTION_NAME_PATTERN, re.ASCII)
_REGION, _ACCOUNT, _NAME, _QUALIFIER = 3, 9, 11, 13  # groups of the pattern above

_VERSION: Final = re.compile(r"[0-9]+", re.ASCII)
_ALIAS: Final = re.compile(r"(?!^[0-9]+$)[a-zA-Z0-9-_]+", re.ASCII)  # botocore's Lambda model, shape Alias

_TAGGED_FUNCTION: Final = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:([a-z0-9-]+):(\d{12}):function:([a-zA-Z0-9-_]+)"
    r"(?::(\$LATEST|[a-zA-Z0-9-_]+))?",
    re.ASCII,
)


class FunctionReference(msgspec.Struct, frozen=True):
    """A function as a caller named it. `qualifier` None: none was given, in the name or beside it."""

    key: FunctionKey
    qualifier: str | None = None

    @property
    def arn(self) -> str:
        """The ARN in the form the caller used: with the qualifier only when one was given."""
        return self.key.arn(self.qualifier)

    @property
    def is_latest(self) -> bool:
        """Names `$LATEST`, by saying so or by saying nothing."""
        return self.qualifier is None or self.qualifier == LATEST


@lru_cache(maxsize=1024)
def parse_function_reference(
    name: str, qualifier: str | None = None, *, account_id: AccountId, region: Region
) -> FunctionReference:
    """The function that `name` and `qualifier` mean to a caller in `account_id` and `region`.

    Raises, in this order: ValidationException for a name of none of the forms; InvalidParameterValue when the
    name carries another qualifier than `qualifier`; AccessDenied for another account's function;
    ResourceNotFound for one of another region. Does not look whether the function exists. Results are cached.
    """
    found = _REFERENCE.fullmatch(name)
    if found is None:
        raise ValidationException(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {FUNCTION_NAME_PATTERN}"
        )
    derived: str | None = found[_QUALIFIER]
    if derived is not None and qualifier is not None and derived != qualifier:
        raise InvalidParameterValue(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    if found[_ACCOUNT] is not None and found[_ACCOUNT][:-1] != account_id:
        raise AccessDenied()
    if found[_REGION] is not None and found[_REGION][:-1] != region:
        raise ResourceNotFound(
            f"Functions from '{found[_REGION][:-1]}' are not reachable in this region ('{region}')"
        )
    key = FunctionKey(account_id, region, found[_NAME])
    return FunctionReference(key, qualifier if derived is None else derived)


def named_account(name: str) -> AccountId | None:
    """The account that a function name spells out; None when it spells out none or is malformed."""
    if ":" not in name:
        return None
    found = _REFERENCE.fullmatch(name)
    return AccountId(found[_ACCOUNT][:-1]) if found is not None and found[_ACCOUNT] is not None else None


def parse_function_arn(arn: str) -> FunctionReference | None:
    """The function of a full ARN, as tag operations take it; None when the ARN names something else."""
    found = _TAGGED_FUNCTION.fullmatch(arn)
    if found is None:
        return None
    return FunctionReference(FunctionKey(AccountId(found[2]), Region(found[1]), found[3]), found[4])


def is_version_number(qualifier: str) -> bool:
    """Whether the qualifier can only mean a published version."""
    return _VERSION.fullmatch(qualifier) is not None


def is_alias_name(qualifier: str) -> bool:
    """Whether the qualifier has the form of an alias's name; a number and `$LATEST` do not."""
    return _ALIAS.fullmatch(qualifier) is not None
