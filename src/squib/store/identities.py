"""Accounts, users, groups, roles and policies as authorization reads them: from memory, never waiting.

What is made of them is kept until the next write of any of them, and no longer: a policy that is detached, a
role that is deleted, a version that becomes the default counts from the call after the answer on.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from squib.model.account import ACCOUNTS, account_key
from squib.model.entity import GROUPS, ROLES, USERS, Group, Role, User, entity_key
from squib.model.identity import Principal, PrincipalKind
from squib.model.item import Key, Kind
from squib.model.managed_policy import (
    AWS_ACCOUNT,
    MANAGED_POLICIES,
    ManagedPolicy,
    parse_policy_arn,
    policy_key,
)
from squib.model.units import AccountId, EpochMs, Region
from squib.model.user_key import USER_KEYS
from squib.store.aws_policies import aws_policies
from squib.store.base import Collection, Store

K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)


class Identities:
    """Reads IAM's collections. On the event loop only."""

    def __init__(self, store: Store) -> None:
        self._accounts = store.collection(ACCOUNTS)
        self._users = store.collection(USERS)
        self._groups = store.collection(GROUPS)
        self._roles = store.collection(ROLES)
        self._policies = store.collection(MANAGED_POLICIES)
        self._keys = store.collection(USER_KEYS)
        kinds = (ACCOUNTS, USERS, GROUPS, ROLES, MANAGED_POLICIES, USER_KEYS)
        self._by_kind: dict[str, Collection[Any, Any]] = {kind.name: store.collection(kind) for kind in kinds}
        self.generation = 0
        """Another number after every write of anything that is read here."""
        for collection in self._by_kind.values():
            collection.watch(self._written)

    def _written(self, key: Key, before: object, after: object) -> None:
        self.generation += 1

    # --- as a transaction reads

    def get(self, kind: Kind[K, V], key: K) -> V | None:
        """See `base.Transaction`."""
        found: V | None = self._by_kind[kind.name].peek(key)
        return found

    def page(
        self,
        kind: Kind[K, V],
        account_id: AccountId,
        region: Region,
        *,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> Sequence[V]:
        """See `base.Transaction`."""
        collection = self._by_kind[kind.name]
        return collection.page(account_id, region, prefix=prefix, after=after, limit=limit)

    # --- one at a time

    def has_account(self, account_id: AccountId) -> bool:
        """Whether this squib has such an account."""
        return self._accounts.peek(account_key(account_id)) is not None

    def account_created_at_ms(self, account_id: AccountId) -> EpochMs:
        """When the account was made."""
        account = self._accounts.peek(account_key(account_id))
        return EpochMs(0) if account is None else account.created_at_ms

    def user(self, account_id: AccountId, name: str) -> User | None:
        """The user of this very name."""
        found = self._users.peek(entity_key(account_id, name))
        return found if found is not None and found.name == name else None

    def group(self, account_id: AccountId, name: str) -> Group | None:
        """The group of this very name."""
        found = self._groups.peek(entity_key(account_id, name))
        return found if found is not None and found.name == name else None

    def role(self, account_id: AccountId, name: str) -> Role | None:
        """The role of this very name."""
        found = self._roles.peek(entity_key(account_id, name))
        return found if found is not None and found.name == name else None

    def role_by_arn(self, arn: str) -> Role | None:
        """The role of an ARN `arn:aws:iam::ACCOUNT:role/PATH/NAME`, path included."""
        parts = arn.split(":", 5)
        if len(parts) != 6 or not parts[5].startswith("role/"):
            return None
        role = self.role(AccountId(parts[4]), arn.rpartition("/")[2])
        return role if role is not None and role.arn == arn else None

    def by_arn(self, arn: str) -> User | Role | None:
        """The user or role of an ARN, path included."""
        parts = arn.split(":", 5)
        if len(parts) != 6 or not parts[5].startswith("user/"):
            return self.role_by_arn(arn)
        user = self.user(AccountId(parts[4]), arn.rpartition("/")[2])
        return user if user is not None and user.arn == arn else None

    def policy(self, arn: str) -> ManagedPolicy | None:
        """A managed policy, AWS's or an account's."""
        parsed = parse_policy_arn(arn)
        if parsed is None:
            return None
        if parsed[0] == AWS_ACCOUNT:
            return aws_policies().get(arn)
        found = self._policies.peek(policy_key(*parsed))
        return found if found is not None and found.arn == arn else None

    def entity_of(self, principal: Principal) -> User | Role | None:
        """The user or role that a principal stands for; None for root, and for one that is gone, whoever
        bears its name now."""
        found: User | Role | None
        match principal.kind:
            case PrincipalKind.USER:
                found = self.user(principal.account_id, principal.entity_name)
            case PrincipalKind.ASSUMED_ROLE:
                found = self.role(principal.account_id, principal.entity_name)
            case _:
                return None
        return found if found is not None and found.unique_id == principal.entity_id else None
