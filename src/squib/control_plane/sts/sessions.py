"""What a role session may be asked for with: session policies, tags, duration; and the answer's
credentials."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from squib.iam.document import parse_document
from squib.model.entity import DEFAULT_SESSION_S, Role
from squib.model.errors import MalformedPolicyDocument, UnsupportedParameter, ValidationException
from squib.model.iam_limits import (
    CHAINED_SESSION_S,
    MAX_SESSION_POLICY_CHARACTERS,
    SESSION_POLICY_ARNS,
    TAGS_PER_RESOURCE,
)
from squib.model.identity import AccessKey, Principal, PrincipalKind, Session, role_session_principal
from squib.model.identity_errors import InvalidInput, PackedPolicyTooLarge
from squib.model.operation import AuthorizedCall
from squib.model.policy import PolicyType
from squib.store.identities import Identities
from squib.store.keyring import KeyRing
from squib.store.session_tokens import packed_percent

_ROLE_ARN: Final = re.compile(r"arn:aws:iam::(\d{12}):role/(?:[\x21-\x7e]+/)?[\w+=,.@-]+", re.ASCII)
_NOT_BUILT: Final = ("SerialNumber", "TokenCode", "ProvidedContexts", "MinimumSessionTokenSize")


class Tags(NamedTuple):
    """Tags of a session: those passed, and those that a chain of roles has brought along."""

    passed: Mapping[str, str]
    all: Mapping[str, str]
    transitive: tuple[str, ...]


def check_built(call: AuthorizedCall) -> None:
    """Raises UnsupportedParameter for what squib would have to ignore: there are no MFA devices."""
    for name in _NOT_BUILT:
        if call.input.get(name):
            raise UnsupportedParameter(call.operation, name)


def role_account(arn: str) -> str:
    """The account of a role's ARN. Raises ValidationException for what is none."""
    found = _ROLE_ARN.fullmatch(arn)
    if found is None:
        raise ValidationException(f"{arn} is invalid")
    return found[1]


def session_policies(
    call: AuthorizedCall, identities: Identities, account_id: str
) -> tuple[Sequence[str], Sequence[str]]:
    """Documents and ARNs of the session policies that are passed. Raises what is wrong with them."""
    document = call.input.get("Policy")
    arns = [each["arn"] for each in call.input.get("PolicyArns") or () if each.get("arn")]
    if document is not None:
        parse_document(document, PolicyType.SESSION)
    if len(arns) > SESSION_POLICY_ARNS:
        raise ValidationException(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must "
            f"have length less than or equal to {SESSION_POLICY_ARNS}"
        )
    for arn in arns:
        policy = identities.policy(arn)
        if policy is None or policy.account_id not in ("aws", account_id):
            raise MalformedPolicyDocument(f"Policy {arn} does not exist or is not attachable.")
    size = len(document or "") + sum(map(len, arns))
    if size > MAX_SESSION_POLICY_CHARACTERS:
        raise _too_large(100 * size // MAX_SESSION_POLICY_CHARACTERS)
    return ([] if document is None else [document]), arns


def session_tags(
    given: Sequence[Mapping[str, str]], transitive: Sequence[str], caller: Session | None
) -> Tags:
    """The tags of a new session. Raises InvalidInput, ValidationException."""
    passed: dict[str, str] = {}
    for tag in given:
        key = tag["Key"]
        if key.lower() in (each.lower() for each in passed):
            raise InvalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
        if key.lower().startswith("aws:"):
            raise ValidationException("User tags cannot begin with aws:")
        passed[key] = tag["Value"]
    if len(passed) > TAGS_PER_RESOURCE:
        raise ValidationException(f"A session can have no more than {TAGS_PER_RESOURCE} tags.")
    inherited: dict[str, str] = {}
    if caller is not None:
        inherited = {key: caller.tags[key] for key in caller.transitive_tag_keys if key in caller.tags}
    for key in inherited:
        if key.lower() in (each.lower() for each in passed):
            raise ValidationException(
                f"The tag {key} is transitive and set by an earlier session in the role chain; it cannot "
                "be overridden."
            )
    for key in transitive:
        if key not in passed and key not in inherited:
            raise ValidationException(
                f"The specified transitive tag key {key} must be included in the requested tags."
            )
    return Tags(passed, {**inherited, **passed}, tuple(dict.fromkeys([*inherited, *transitive])))


def duration_s(call: AuthorizedCall, role: Role) -> int:
    """How long the session lasts. Raises ValidationException."""
    given: int | None = call.input.get("DurationSeconds")
    is_chained = call.principal.kind is PrincipalKind.ASSUMED_ROLE
    if given is None:
        return min(DEFAULT_SESSION_S, role.max_session_s)
    if is_chained and given > CHAINED_SESSION_S:
        raise ValidationException(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role "
            "chaining"
        )
    if given > role.max_session_s:
        raise ValidationException(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return given


def role_session(
    keyring: KeyRing, role: Role, session: Session, *, lifetime_s: int
) -> tuple[AccessKey, dict[str, Any]]:
    """A new session of a role, and what AssumeRole and its kin answer of it. Raises PackedPolicyTooLarge."""
    principal: Principal = role_session_principal(
        role_arn=role.arn, session_name=session.name, role_id=role.unique_id, session=session
    )
    key = keyring.session(principal, lifetime_s=lifetime_s)
    output: dict[str, Any] = {
        "Credentials": credentials(key),
        "AssumedRoleUser": {"AssumedRoleId": principal.user_id, "Arn": principal.arn},
    }
    if session.policies or session.policy_arns or session.tags:
        percent = packed_percent(key)
        if percent > 100:
            raise _too_large(percent)
        output["PackedPolicySize"] = percent
    if session.source_identity is not None:
        output["SourceIdentity"] = session.source_identity
    return key, output


def _too_large(percent: int) -> PackedPolicyTooLarge:
    return PackedPolicyTooLarge(
        f"Packed policy consumes {percent}% of allotted space, please use smaller policy."
    )


def credentials(key: AccessKey) -> dict[str, Any]:
    """`Credentials` of a temporary key."""
    assert key.session_token is not None and key.expires_at_ms is not None
    return {
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret_access_key,
        "SessionToken": key.session_token,
        "Expiration": key.expires_at_ms // 1000,
    }
