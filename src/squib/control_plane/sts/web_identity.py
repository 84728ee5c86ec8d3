"""AssumeRoleWithWebIdentity: a token of the configured issuer for temporary credentials of a role."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from squib.access.permissions import Judgement
from squib.access.role_trust import trust_of
from squib.control_plane.sts.issuer import WebIdentity
from squib.control_plane.sts.lookup import Sts
from squib.control_plane.sts.sessions import (
    check_built,
    duration_s,
    role_account,
    role_session,
    session_policies,
    session_tags,
)
from squib.iam.caller import provider_caller
from squib.iam.context import Context, Value, call_keys, keys, sts_keys, web_identity_keys
from squib.iam.trust import ASSUME_ROLE_WITH_WEB_IDENTITY, may_assume
from squib.model.errors import AccessDenied
from squib.model.identity import Session
from squib.model.identity_errors import InvalidIdentityToken
from squib.model.operation import AuthorizedCall, OperationResult

_TAGS: Final = "https://aws.amazon.com/tags"
_SOURCE_IDENTITY: Final = "https://aws.amazon.com/source_identity"
_DENIED: Final = f"Not authorized to perform {ASSUME_ROLE_WITH_WEB_IDENTITY}"


async def assume_role_with_web_identity(sts: Sts, call: AuthorizedCall) -> OperationResult:
    """Nobody signs this call: the token says who calls, and the role's trust policy whether that is
    enough."""
    check_built(call)
    arn: str = call.input["RoleArn"]
    account_id = role_account(arn)
    policies, policy_arns = session_policies(call, sts.identities, account_id)
    if sts.issuer is None:
        raise InvalidIdentityToken("No OpenIDConnect provider found in your account: none is configured.")
    identity = await sts.issuer.verify(call.input["WebIdentityToken"], call.received_at_ms)
    given, transitive = _tags(identity.claims.get(_TAGS))
    tags = session_tags(given, transitive, None)
    source_identity = identity.claims.get(_SOURCE_IDENTITY)
    if source_identity is not None and not isinstance(source_identity, str):
        raise InvalidIdentityToken("The ID Token's source identity must be a string.")
    role = sts.identities.role_by_arn(arn)
    if role is None:
        raise AccessDenied(_DENIED)
    provider = f"arn:aws:iam::{account_id}:oidc-provider/{identity.issuer}"
    asked = {
        **call_keys(
            requested_region=call.region,
            source_ip=call.source_ip or None,
            is_secure_transport=False,
            resource_account=account_id,
            resource_tags=role.tags,
        ),
        **sts_keys(
            role_session_name=call.input["RoleSessionName"],
            source_identity=source_identity,
            duration_s=call.input.get("DurationSeconds"),
            transitive_tag_keys=transitive or None,
            session_tags=dict(tags.passed),
        ),
        **web_identity_keys(identity.issuer, _claims(identity)),
        "aws:FederatedProvider": provider,
    }
    request, decision = may_assume(
        provider_caller(provider),
        role_arn=arn,
        trust=trust_of(role),
        context=Context(keys(asked), now_ms=call.received_at_ms),
        resource_control=sts.organization.resource_control(role.account_id),
        action=ASSUME_ROLE_WITH_WEB_IDENTITY,
        has_session_tags=bool(tags.all),
        has_source_identity=source_identity is not None,
    )
    if not decision.is_allowed:
        sts.denials.note(call.request_id, Judgement(request, decision), at_ms=call.received_at_ms)
        raise AccessDenied(_DENIED)
    session = Session(
        name=call.input["RoleSessionName"],
        issued_at_ms=call.received_at_ms,
        policies=tuple(policies),
        policy_arns=tuple(policy_arns),
        tags=tags.all,
        transitive_tag_keys=tags.transitive,
        source_identity=source_identity,
        provider=provider,
    )
    _, output = role_session(sts.keyring, role, session, lifetime_s=duration_s(call, role))
    output["SubjectFromWebIdentityToken"] = identity.subject
    output["Provider"] = provider
    output["Audience"] = identity.audience
    return OperationResult(output=output)


def _claims(identity: WebIdentity) -> dict[str, Value]:
    """The claims that policies can ask for: text, numbers, and lists of text."""
    found: dict[str, Value] = {}
    for name, value in identity.claims.items():
        if isinstance(value, str | bool | int):
            found[name] = value
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            found[name] = tuple(value)
    return {**found, "aud": identity.audience}


def _tags(given: Any) -> tuple[Sequence[Mapping[str, str]], Sequence[str]]:
    """Session tags in a token: `{"principal_tags": {KEY: [VALUE]}, "transitive_tag_keys": [KEY]}`."""
    if given is None:
        return (), ()
    try:
        tags = [{"Key": str(key), "Value": _text(value)} for key, (value,) in given["principal_tags"].items()]
        return tags, [_text(key) for key in given.get("transitive_tag_keys", ())]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InvalidIdentityToken("The ID Token's tags are malformed.") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value
