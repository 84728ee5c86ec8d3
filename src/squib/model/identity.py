"""Who makes a call. Holds no secrets but `AccessKey`, which never reaches a log."""

from enum import StrEnum

import msgspec

from squib.model.units import AccountId, EpochMs


class PrincipalKind(StrEnum):
    """What sort of identity signed the call."""

    ROOT = "root"  # the account itself: allowed everything
    USER = "user"  # an IAM user
    ASSUMED_ROLE = "assumed-role"  # a role session, such as a function's own credentials
    ANONYMOUS = "anonymous"  # nobody signed


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The authenticated caller, in the words of GetCallerIdentity."""

    kind: PrincipalKind
    account_id: AccountId
    arn: str
    user_id: str
    source_function_arn: str | None = None
    """Set on calls made with a function's own credentials (condition key lambda:SourceFunctionArn)."""


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that can sign. `session_token` is None for long-lived keys."""

    access_key_id: str
    secret_access_key: str
    principal: Principal
    session_token: str | None = None
    expires_at_ms: EpochMs | None = None

    def __repr__(self) -> str:
        return f"AccessKey({self.access_key_id})"


def root_principal(account_id: AccountId) -> Principal:
    """The account root of `account_id`."""
    return Principal(
        kind=PrincipalKind.ROOT,
        account_id=account_id,
        arn=f"arn:aws:iam::{account_id}:root",
        user_id=account_id,
    )


def role_session_principal(
    *, role_arn: str, session_name: str, role_id: str, source_function_arn: str | None = None
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
    )
