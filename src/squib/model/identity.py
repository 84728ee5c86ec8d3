"""Who makes a call. Holds no secrets but `AccessKey`, which never reaches a log."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from squib.model.entity import User
from squib.model.units import AccountId, EpochMs


class PrincipalKind(StrEnum):
    """What sort of identity signed the call."""

    ROOT = "root"  # the account itself: allowed everything
    USER = "user"  # an IAM user
    ASSUMED_ROLE = "assumed-role"  # a role session, such as a function's own credentials
    ANONYMOUS = "anonymous"  # nobody signed


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What temporary credentials carry beside the identity they stand for."""

    name: str = ""
    """RoleSessionName; empty for sessions of users and of root."""
    issued_at_ms: EpochMs
    """Condition key aws:TokenIssueTime: a policy can end all sessions older than some moment."""
    policies: tuple[str, ...] = ()
    """Session policies passed as documents; they and `policy_arns` bound what the session may."""
    policy_arns: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    """Session tags (aws:PrincipalTag/KEY, over the role's own)."""
    transitive_tag_keys: tuple[str, ...] = ()
    source_identity: str | None = None
    provider: str | None = None
    """Issuer of the web identity it was given for (aws:FederatedProvider)."""
    is_chained: bool = False
    """A role assumed with a role's credentials: at most an hour."""


class Principal(msgspec.Struct, frozen=True, kw_only=True, weakref=True):
    """The authenticated caller, in the words of GetCallerIdentity."""

    kind: PrincipalKind
    account_id: AccountId
    arn: str
    user_id: str
    source_function_arn: str | None = None
    """Set on calls made with a function's own credentials (condition key lambda:SourceFunctionArn)."""
    entity_name: str = ""
    """Name of the user or role; empty for root and for nobody."""
    entity_id: str = ""
    """Its unique id: whoever bears the name now may be another."""
    session: Session | None = None
    """None for long-lived keys."""


ANONYMOUS: Final = Principal(
    kind=PrincipalKind.ANONYMOUS, account_id=AccountId(""), arn="anonymous", user_id="anonymous"
)
"""Nobody: the call carries no signature and needs none."""


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that can sign. `session_token` is None for long-lived keys."""

    access_key_id: str
    secret_access_key: str
    principal: Principal
    session_token: str | None = None
    expires_at_ms: EpochMs | None = None

    def __repr__(self) -> str:
        return f"AccessKey({self.access_key_id})"


def root_principal(account_id: AccountId, session: Session | None = None) -> Principal:
    """The account root of `account_id`."""
    return Principal(
        kind=PrincipalKind.ROOT,
        account_id=account_id,
        arn=f"arn:aws:iam::{account_id}:root",
        user_id=account_id,
        session=session,
    )


def user_principal(user: User, session: Session | None = None) -> Principal:
    """A user, with a key of its own or in a session of GetSessionToken."""
    return Principal(
        kind=PrincipalKind.USER,
        account_id=user.account_id,
        arn=user.arn,
        user_id=user.unique_id,
        entity_name=user.name,
        entity_id=user.unique_id,
        session=session,
    )


def role_session_principal(
    *,
    role_arn: str,
    session_name: str,
    role_id: str,
    source_function_arn: str | None = None,
    session: Session | None = None,
) -> Principal:
    """The session `session_name` of the role `role_arn` (`arn:aws:iam::ACCOUNT:role/PATH/NAME`)."""
    account_id = AccountId(role_arn.split(":")[4])
    role_name = role_arn.rsplit("/", 1)[1]
    return Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        account_id=account_id,
        arn=f"arn:aws:sts::{account_id}:assumed-role/{role_name}/{session_name}",
        user_id=f"{role_id}:{session_name}",
        source_function_arn=source_function_arn,
        entity_name=role_name,
        entity_id=role_id,
        session=session,
    )
