"""Managed policies and their versions. AWS's own belong to the account `aws`."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from squib.model.item import GLOBAL, ItemKey, Kind
from squib.model.units import AccountId, EpochMs

AWS_ACCOUNT: Final = AccountId("aws")

_ARN: Final = re.compile(r"arn:aws:iam::(aws|\d{12}):policy(/(?:[\x21-\x7e]+/)?)([\w+=,.@-]+)", re.ASCII)


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version. Its document is as it was given."""

    number: int
    document: str
    created_at_ms: EpochMs

    @property
    def version_id(self) -> str:
        """`v1` and so on."""
        return f"v{self.number}"


class ManagedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy with an ARN of its own. `versions` are in order of their numbers, which are never used
    twice."""

    account_id: AccountId
    name: str
    path: str = "/"
    unique_id: str
    created_at_ms: EpochMs
    updated_at_ms: EpochMs
    description: str | None = None
    versions: tuple[PolicyVersion, ...]
    default_number: int
    last_number: int
    """The highest number ever given."""
    tags: Mapping[str, str] = {}

    @property
    def arn(self) -> str:
        """`arn:aws:iam::ACCOUNT:policy/PATH/NAME`."""
        return f"arn:aws:iam::{self.account_id}:policy{self.path}{self.name}"

    @property
    def default(self) -> PolicyVersion:
        """The version in effect."""
        return next(version for version in self.versions if version.number == self.default_number)

    def version(self, version_id: str) -> PolicyVersion | None:
        """The version of an id such as `v2`."""
        return next((version for version in self.versions if version.version_id == version_id), None)


MANAGED_POLICIES: Final = Kind("iam-policy", ItemKey, ManagedPolicy)


def policy_key(account_id: AccountId, name: str) -> ItemKey:
    """Where a policy of that name is kept, whatever the case of its letters."""
    return ItemKey(account_id, GLOBAL, name.lower())


def parse_policy_arn(arn: str) -> tuple[AccountId, str] | None:
    """Account and name in the ARN of a managed policy; None when it is none. The path is the caller's to
    compare, with the whole ARN."""
    found = _ARN.fullmatch(arn)
    return None if found is None else (AccountId(found[1]), found[3])
