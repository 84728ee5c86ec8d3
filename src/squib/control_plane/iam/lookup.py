"""From names and ARNs in a call to what they name, and IAM's refusals of both."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import msgspec

from squib.clock import Entropy
from squib.control_plane.pagination import BadMarker, marker, position
from squib.model.entity import Entity, Group, Role, User, entity_key
from squib.model.errors import ValidationException
from squib.model.iam_limits import DEFAULT_PAGE
from squib.model.identity import PrincipalKind
from squib.model.identity_errors import DeleteConflict, EntityAlreadyExists, LimitExceeded, NoSuchEntity
from squib.model.item import GLOBAL, ItemKey, Key, Kind
from squib.model.managed_policy import (
    AWS_ACCOUNT,
    MANAGED_POLICIES,
    ManagedPolicy,
    parse_policy_arn,
    policy_key,
)
from squib.model.operation import AuthorizedCall
from squib.model.units import AccountId
from squib.store.aws_policies import aws_policies
from squib.store.base import Store, Transaction
from squib.store.identities import Identities
from squib.store.keyring import KeyRing

K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)
E = TypeVar("E", bound=Entity)
T = TypeVar("T")

_NAME: Final = re.compile(r"[\w+=,.@-]+", re.ASCII)
TITLES: Final = {"user": "User", "group": "Group", "role": "Role"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Iam:
    """What the operations work on. `identities` is read, `store` is written to."""

    store: Store
    identities: Identities
    keyring: KeyRing
    entropy: Entropy


class Reader(Protocol):
    """A transaction, or the identities in memory."""

    def get(self, kind: Kind[K, V], key: K) -> V | None: ...

    def page(
        self,
        kind: Kind[K, V],
        account_id: AccountId,
        region: Any,
        *,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> Sequence[V]: ...


def find(reader: Reader, kind: Kind[ItemKey, E], account_id: AccountId, name: str) -> E:
    """The user, group or role of this very name. Raises ValidationException, NoSuchEntity."""
    check_name(f"{kind.value_type.noun}Name", name)
    found = reader.get(kind, entity_key(account_id, name))
    if found is None or found.name != name:
        raise no_such(kind.value_type.noun, name)
    return found


def no_such(noun: str, name: str) -> NoSuchEntity:
    """There is no user, group, role (or other thing) of this name."""
    return NoSuchEntity(f"The {noun} with name {name} cannot be found.")


def find_policy(reader: Reader, account_id: AccountId, arn: str) -> ManagedPolicy:
    """A policy of the account or of AWS. Raises ValidationException, NoSuchEntity."""
    found = peek_policy(reader, account_id, arn)
    if found is None:
        raise NoSuchEntity(f"Policy {arn} was not found.")
    return found


def peek_policy(reader: Reader, account_id: AccountId, arn: str) -> ManagedPolicy | None:
    """A policy of the account or of AWS; None when there is none. Raises ValidationException."""
    parsed = parse_policy_arn(arn)
    if parsed is None:
        raise ValidationException(f"ARN {arn} is not valid.")
    owner, name = parsed
    if owner == AWS_ACCOUNT:
        return aws_policies().get(arn)
    found = None if owner != account_id else reader.get(MANAGED_POLICIES, policy_key(owner, name))
    return found if found is not None and found.arn == arn else None


def attachable_policy(reader: Reader, account_id: AccountId, arn: str) -> ManagedPolicy:
    """The same for attaching it, which has a text of its own."""
    found = peek_policy(reader, account_id, arn)
    if found is None:
        raise NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")
    return found


def check_name(member: str, name: str, limit: int | None = None) -> None:
    """A name for something new. Raises ValidationException."""
    if limit is not None and len(name) > limit:
        raise ValidationException(
            f"1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: "
            f"Member must have length less than or equal to {limit}"
        )
    if _NAME.fullmatch(name) is None:
        raise ValidationException(
            f"The specified value for {member} is invalid. It must contain only alphanumeric characters "
            "and/or the following: +=,.@_-"
        )


def check_free(reader: Reader, kind: Kind[ItemKey, Any], account_id: AccountId, name: str) -> None:
    """Raises EntityAlreadyExists when a user, group or role has this name in any case of letters."""
    if reader.get(kind, entity_key(account_id, name)) is not None:
        raise EntityAlreadyExists(f"{TITLES[kind.value_type.noun]} with name {name} already exists.")


def put_new(transaction: Transaction, kind: Kind[ItemKey, E], entity: E, limit: int) -> None:
    """Stores a new user, group or role. Raises EntityAlreadyExists; LimitExceeded past `limit` of them."""
    check_free(transaction, kind, entity.account_id, entity.name)
    if len(everything(transaction, kind, entity.account_id)) >= limit:
        quota = f"{TITLES[kind.value_type.noun]}sPerAccount"
        raise LimitExceeded(f"Cannot exceed quota for {quota}: {limit}")
    transaction.put(kind, entity_key(entity.account_id, entity.name), entity)


def put_renamed(transaction: Transaction, kind: Kind[ItemKey, E], old: E, new: E) -> None:
    """Stores `new` in the place of `old`. Raises EntityAlreadyExists when another has its name."""
    if new.name.lower() != old.name.lower():
        check_free(transaction, kind, new.account_id, new.name)
        transaction.delete(kind, entity_key(old.account_id, old.name))
    transaction.put(kind, entity_key(new.account_id, new.name), new)


def check_without_policies(entity: Entity) -> None:
    """Raises DeleteConflict for a user, group or role that still carries policies."""
    if entity.attached:
        raise DeleteConflict("Cannot delete entity, must detach all policies first.")
    if entity.inline:
        raise DeleteConflict("Cannot delete entity, must delete policies first.")


def own_user_name(call: AuthorizedCall) -> str:
    """The user that a call is about when it names none: the caller. Raises ValidationException."""
    if call.principal.kind is not PrincipalKind.USER:
        raise ValidationException("Must specify userName when calling with non-User credentials")
    return call.principal.entity_name


def everything(reader: Reader, kind: Kind[ItemKey, V], account_id: AccountId, after: str = "") -> Sequence[V]:
    """All items of a kind in the account, by name."""
    return reader.page(kind, account_id, GLOBAL, after=after)


def below_path(reader: Reader, kind: Kind[ItemKey, E], call: AuthorizedCall) -> Sequence[E]:
    """The users, groups or roles under the call's `PathPrefix`, by name."""
    prefix = call.input.get("PathPrefix") or "/"
    return [entity for entity in everything(reader, kind, call.account_id) if entity.path.startswith(prefix)]


class _After(msgspec.Struct, frozen=True, tag="iam"):
    """A position in one operation's list."""

    operation: str
    name: str


def paged(
    call: AuthorizedCall, name: str, items: Sequence[T], key: Callable[[T], str], shape: Callable[[T], Any]
) -> dict[str, Any]:
    """One page of `items`, which are in order of `key`, as `name` of the output, with IsTruncated and
    Marker."""
    shown, rest = page_of(call, items, key)
    return {name: [shape(item) for item in shown], **rest}


def page_of(
    call: AuthorizedCall, items: Sequence[T], key: Callable[[T], str]
) -> tuple[Sequence[T], dict[str, Any]]:
    """The items of the page that the call asks for, and what the answer says of the rest."""
    given = call.input.get("Marker")
    if given is not None:
        try:
            after = position(given, _After)
        except BadMarker:
            raise ValidationException("Invalid Marker.") from None
        if after.operation != call.operation:
            raise ValidationException("Invalid Marker.")
        items = [item for item in items if key(item) > after.name]
    limit = call.input.get("MaxItems") or DEFAULT_PAGE
    if len(items) <= limit:
        return items, {"IsTruncated": False}
    shown = items[:limit]
    return shown, {"IsTruncated": True, "Marker": marker(_After(call.operation, key(shown[-1])))}


def by_name(item: User | Group | Role | ManagedPolicy) -> str:
    """The order of lists."""
    return item.name.lower()
