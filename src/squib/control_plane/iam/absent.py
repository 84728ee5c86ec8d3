"""What squib does not have, and says so truthfully when asked: no passwords, MFA devices, certificates,
instance profiles or identity providers. Making one is refused as not built; listing them finds none."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from squib.control_plane.iam.lookup import Iam, find, own_user_name
from squib.model.entity import USERS, User
from squib.model.identity_errors import NoSuchEntity
from squib.model.operation import AuthorizedCall, OperationResult

Operation: TypeAlias = Callable[[Iam, AuthorizedCall], Awaitable[OperationResult]]


def _none(name: str, *, is_paged: bool = True, is_of_user: bool = False) -> Operation:
    """A list that is empty: of the account, or of a user, the caller when none is named."""

    async def list_none(iam: Iam, call: AuthorizedCall) -> OperationResult:
        if is_of_user:
            _user(iam, call)
        output: dict[str, Any] = {name: [], **({"IsTruncated": False} if is_paged else {})}
        return OperationResult(output=output)

    return list_none


def _user(iam: Iam, call: AuthorizedCall) -> User:
    return find(iam.identities, USERS, call.account_id, call.input.get("UserName") or own_user_name(call))


async def get_login_profile(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """No user has a password."""
    user = _user(iam, call)
    raise NoSuchEntity(f"Login Profile for User {user.name} cannot be found.")


async def get_account_password_policy(iam: Iam, call: AuthorizedCall) -> OperationResult:
    """No account has a policy for passwords."""
    raise NoSuchEntity(f"The Password Policy with domain name {call.account_id} cannot be found.")


OPERATIONS: Final = {
    "GetLoginProfile": get_login_profile,
    "GetAccountPasswordPolicy": get_account_password_policy,
    "ListInstanceProfiles": _none("InstanceProfiles"),
    "ListMFADevices": _none("MFADevices", is_of_user=True),
    "ListOpenIDConnectProviders": _none("OpenIDConnectProviderList", is_paged=False),
    "ListSAMLProviders": _none("SAMLProviderList", is_paged=False),
    "ListServerCertificates": _none("ServerCertificateMetadataList"),
    "ListServiceSpecificCredentials": _none("ServiceSpecificCredentials", is_paged=False, is_of_user=True),
    "ListSigningCertificates": _none("Certificates", is_of_user=True),
    "ListSSHPublicKeys": _none("SSHPublicKeys", is_of_user=True),
    "ListVirtualMFADevices": _none("VirtualMFADevices"),
}
