"""STS: which operations are built. Each is a function of what `Sts` holds and a call."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

import msgspec

from squib.control_plane.sts.assume_role import assume_role
from squib.control_plane.sts.lookup import Sts
from squib.control_plane.sts.sessions import check_built, credentials
from squib.control_plane.sts.web_identity import assume_role_with_web_identity
from squib.iam.unique_ids import account_of
from squib.model.errors import AccessDenied, ValidationException
from squib.model.iam_limits import DEFAULT_SESSION_TOKEN_S, ROOT_SESSION_TOKEN_S
from squib.model.identity import PrincipalKind, Session
from squib.model.identity_errors import InvalidAuthorizationMessage
from squib.model.operation import AuthorizedCall, Handler, OperationResult

# GetSessionToken reference: "You cannot call any IAM API operations unless MFA authentication information is
# included" (there is none here), nor "any STS API except AssumeRole or GetCallerIdentity".
_SESSION_POLICY: Final = """{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "*", "Resource": "*"},
    {"Effect": "Deny", "Resource": "*", "Action": [
        "iam:*", "sts:Get*Token", "sts:DecodeAuthorizationMessage", "sts:GetAccessKeyInfo"]}]}"""

Operation: TypeAlias = Callable[[Sts, AuthorizedCall], Awaitable[OperationResult]]


async def get_caller_identity(sts: Sts, call: AuthorizedCall) -> OperationResult:
    """The principal that signed the call."""
    principal = call.principal
    return OperationResult(
        output={"UserId": principal.user_id, "Account": principal.account_id, "Arn": principal.arn}
    )


async def get_session_token(sts: Sts, call: AuthorizedCall) -> OperationResult:
    """Temporary credentials of the caller's own. Needs no permission, but a long-lived key."""
    check_built(call)
    principal = call.principal
    if principal.session is not None or principal.kind not in (PrincipalKind.USER, PrincipalKind.ROOT):
        raise AccessDenied("Cannot call GetSessionToken with session credentials")
    lifetime_s = call.input.get("DurationSeconds") or DEFAULT_SESSION_TOKEN_S
    if principal.kind is PrincipalKind.ROOT:
        lifetime_s = min(lifetime_s, ROOT_SESSION_TOKEN_S)
    session = Session(issued_at_ms=call.received_at_ms, policies=(_SESSION_POLICY,))
    key = sts.keyring.session(msgspec.structs.replace(principal, session=session), lifetime_s=lifetime_s)
    return OperationResult(output={"Credentials": credentials(key)})


async def get_access_key_info(sts: Sts, call: AuthorizedCall) -> OperationResult:
    """The account of an access key, whether the key is still good or not."""
    key_id = call.input["AccessKeyId"]
    known = sts.keyring.find(key_id)
    account_id = account_of(key_id) if known is None else known.principal.account_id
    if account_id is None:
        raise ValidationException(f"{key_id} is not a valid access key id")
    return OperationResult(output={"Account": account_id})


async def decode_authorization_message(sts: Sts, call: AuthorizedCall) -> OperationResult:
    """What a message says that this squib has encoded."""
    decoded = sts.messages.decode(call.input["EncodedMessage"])
    if decoded is None:
        raise InvalidAuthorizationMessage()
    return OperationResult(output={"DecodedMessage": decoded})


_OPERATIONS: Final[Mapping[str, Operation]] = {
    "GetCallerIdentity": get_caller_identity,
    "AssumeRole": assume_role,
    "AssumeRoleWithWebIdentity": assume_role_with_web_identity,
    "GetSessionToken": get_session_token,
    "GetAccessKeyInfo": get_access_key_info,
    "DecodeAuthorizationMessage": decode_authorization_message,
}


class StsService:
    """Who the caller is, and temporary credentials."""

    def __init__(self, sts: Sts) -> None:
        self._sts = sts

    def handlers(self) -> Mapping[str, Handler]:
        """See `registry.Service`."""
        return {name: partial(operation, self._sts) for name, operation in _OPERATIONS.items()}
