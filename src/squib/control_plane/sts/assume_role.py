"""AssumeRole: a role's trust policy and the caller's own policies decide, for nothing else says who may."""

import msgspec

from squib.access.permissions import Judgement
from squib.access.role_trust import trust_of
from squib.control_plane.sts.lookup import Sts
from squib.control_plane.sts.sessions import (
    check_built,
    duration_s,
    role_account,
    role_session,
    session_policies,
    session_tags,
)
from squib.iam.context import Context, call_keys, keys, sts_keys
from squib.iam.denial import ROOT_MAY_NOT_ASSUME, denial_message
from squib.iam.trust import ASSUME_ROLE, may_assume
from squib.model.entity import Role
from squib.model.errors import AccessDenied
from squib.model.identity import PrincipalKind, Session
from squib.model.operation import AuthorizedCall, OperationResult


async def assume_role(sts: Sts, call: AuthorizedCall) -> OperationResult:
    """Temporary credentials of a role, for who may assume it."""
    check_built(call)
    arn: str = call.input["RoleArn"]
    account_id = role_account(arn)
    policies, policy_arns = session_policies(call, sts.identities, account_id)
    caller = call.principal
    tags = session_tags(
        call.input.get("Tags") or (), call.input.get("TransitiveTagKeys") or (), caller.session
    )
    inherited = None if caller.session is None else caller.session.source_identity
    given = call.input.get("SourceIdentity")
    role = sts.identities.role_by_arn(arn)
    if caller.kind is PrincipalKind.ROOT:
        raise AccessDenied(ROOT_MAY_NOT_ASSUME)
    if role is None or (inherited is not None and given not in (None, inherited)):
        raise AccessDenied(
            f"User: {caller.arn} is not authorized to perform: {ASSUME_ROLE} on resource: {arn}"
        )
    source_identity = given or inherited
    _check_allowed(
        sts, call, role, has_tags=bool(tags.all), tags=dict(tags.passed), source_identity=source_identity
    )
    session = Session(
        name=call.input["RoleSessionName"],
        issued_at_ms=call.received_at_ms,
        policies=tuple(policies),
        policy_arns=tuple(policy_arns),
        tags=tags.all,
        transitive_tag_keys=tags.transitive,
        source_identity=source_identity,
        is_chained=caller.kind is PrincipalKind.ASSUMED_ROLE,
    )
    _, output = role_session(sts.keyring, role, session, lifetime_s=duration_s(call, role))
    return OperationResult(output=output)


def _check_allowed(
    sts: Sts,
    call: AuthorizedCall,
    role: Role,
    *,
    has_tags: bool,
    tags: dict[str, str],
    source_identity: str | None,
) -> None:
    """Raises AccessDenied."""
    view = sts.callers.of(call.principal)
    asked = {
        **call_keys(
            requested_region=call.region,
            source_ip=call.source_ip or None,
            is_secure_transport=False,
            user_agent=call.headers.get("user-agent"),
            resource_account=role.account_id,
            resource_tags=role.tags,
        ),
        **sts_keys(
            external_id=call.input.get("ExternalId"),
            role_session_name=call.input["RoleSessionName"],
            source_identity=source_identity,
            duration_s=call.input.get("DurationSeconds"),
            transitive_tag_keys=call.input.get("TransitiveTagKeys"),
            session_tags=tags,
        ),
    }
    request, decision = may_assume(
        view.caller,
        role_arn=role.arn,
        trust=trust_of(role),
        caller_policies=msgspec.structs.replace(
            view.policies, service_control=sts.organization.service_control(call.principal.account_id)
        ),
        resource_control=sts.organization.resource_control(role.account_id),
        context=Context(keys(asked), view.keys, now_ms=call.received_at_ms),
        has_session_tags=has_tags,
        has_source_identity=source_identity is not None,
    )
    if not decision.is_allowed:
        sts.denials.note(call.request_id, Judgement(request, decision), at_ms=call.received_at_ms)
        raise AccessDenied(denial_message(request, decision))
