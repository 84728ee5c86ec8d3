"""Service and resource control policies, from a file that whoever runs squib writes.

docs/organization.md shows the file.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from squib.iam.compiled import PolicySet, compile_policy
from squib.iam.document import parse_document
from squib.model.errors import ApiError, SquibError
from squib.model.policy import PolicyType
from squib.model.units import AccountId

EVERY_ACCOUNT: Final = "*"
_ACCOUNT: Final = re.compile(r"\d{12}", re.ASCII)


class OrganizationUnreadable(SquibError):
    """The file cannot be used; the message says why."""


class _Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accounts: tuple[str, ...]
    service_control_policies: tuple[Mapping[str, Any], ...] = ()
    resource_control_policies: tuple[Mapping[str, Any], ...] = ()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str | None = None
    levels: tuple[_Level, ...] = ()


class Organization:
    """What bounds every account, whoever calls, its root included. Immutable."""

    def __init__(self, file: _File | None = None) -> None:
        """Raises OrganizationUnreadable for a document that is none. Without a file nothing is bounded."""
        file = file or _File()
        self.org_id = file.id
        for number, level in enumerate(file.levels, 1):  # one that is misspelled would bound nobody
            for name in level.accounts:
                if name != EVERY_ACCOUNT and _ACCOUNT.fullmatch(name) is None:
                    raise OrganizationUnreadable(
                        f"level {number} names {name!r}, which is neither an account's number nor '*'"
                    )
        self._levels = [
            (
                frozenset(level.accounts),
                _compiled(PolicyType.SERVICE_CONTROL, number, level.service_control_policies),
                _compiled(PolicyType.RESOURCE_CONTROL, number, level.resource_control_policies),
            )
            for number, level in enumerate(file.levels, 1)
        ]

    @classmethod
    def read(cls, path: Path) -> "Organization":
        """From a file. Raises OrganizationUnreadable."""
        try:
            return cls(msgspec.json.decode(path.read_bytes(), type=_File))
        except OSError as error:
            raise OrganizationUnreadable(f"can't read {path}: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            raise OrganizationUnreadable(f"{path} is no organization: {error}") from error

    @property
    def is_empty(self) -> bool:
        """Nothing is bounded."""
        return not self._levels

    def service_control(self, account_id: AccountId | None) -> tuple[PolicySet, ...]:
        """What the account's principals are bounded by, level by level."""
        return tuple(own for names, own, _ in self._levels if own is not None and _counts(names, account_id))

    def resource_control(self, account_id: AccountId) -> tuple[PolicySet, ...]:
        """What bounds what can be done to the account's resources, level by level."""
        return tuple(own for names, _, own in self._levels if own is not None and _counts(names, account_id))


def _counts(names: frozenset[str], account_id: AccountId | None) -> bool:
    return EVERY_ACCOUNT in names or account_id in names


def _compiled(
    policy_type: PolicyType, level: int, documents: tuple[Mapping[str, Any], ...]
) -> PolicySet | None:
    if not documents:
        return None
    policies = []
    for number, document in enumerate(documents, 1):
        name = f"{policy_type} policy {number} of level {level}"
        try:
            parsed = parse_document(msgspec.json.encode(document).decode(), policy_type)
        except ApiError as error:
            raise OrganizationUnreadable(f"{name}: {error.message}") from error
        policies.append(compile_policy(policy_type, name, parsed))
    return PolicySet(policy_type, policies)
