"""Whether a call may happen, and on whose resources.

One row per operation says which IAM action it asks for and on which resource; one function decides.
The decision knows the account root only: identity and resource policies are not evaluated, so every other
principal is denied all but GetCallerIdentity.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from squib.model.arn import named_account, parse_function_reference
from squib.model.errors import AccessDenied
from squib.model.identity import Principal, PrincipalKind
from squib.model.operation import AuthorizedCall, OperationCall
from squib.model.queue import parse_queue_url, parse_task_handle
from squib.model.units import AccountId, Region

Resource: TypeAlias = Callable[[Mapping[str, Any], AccountId, Region], str]
"""(input, account of the resource, region) -> ARN, or `*`."""


class Rule(NamedTuple):
    """What an operation asks permission for."""

    action: str
    resource: Resource


def rule_of(service: str, operation: str) -> Rule:
    """The row of an operation: its own, else the action of the operation's name on what its service names."""
    own = _RULES.get((service, operation))
    if own is not None:
        return own
    return Rule(f"{service}:{operation}", _RESOURCES.get(service, _anything))


def authorize(call: OperationCall) -> AuthorizedCall:
    """The call, allowed. Raises AccessDenied."""
    authenticated = call.authenticated
    routed = authenticated.routed
    principal = authenticated.principal
    account_id = _account_of(routed.service, call.input) or principal.account_id
    # The common case, an account's root on its own resources, needs no rule.
    is_root = principal.kind is PrincipalKind.ROOT and principal.session is None
    if not is_root or account_id != principal.account_id:
        rule = rule_of(routed.service, routed.operation)
        resource = rule.resource(call.input, account_id, authenticated.region)
        _decide(principal, rule.action, resource, account_id)
    request = routed.request
    return AuthorizedCall(
        service=routed.service,
        operation=routed.operation,
        input=call.input,
        principal=principal,
        access_key_id=authenticated.access_key_id,
        account_id=account_id,
        region=authenticated.region,
        request_id=request.request_id,
        received_at_ms=request.received_at_ms,
        base_url=request.base_url,
        headers=request.headers,
        when_gone=request.when_gone,
    )


def _decide(principal: Principal, action: str, resource: str, account_id: AccountId) -> None:
    """Where policies will be evaluated. Raises AccessDenied."""
    if action in _ALLOWED_TO_ALL:
        return
    if action in _NEVER_ACROSS_ACCOUNTS and account_id != principal.account_id:
        raise AccessDenied()
    if account_id != principal.account_id:
        kind = "resource-based"
    elif principal.kind is PrincipalKind.ROOT and not action.startswith(("iam:", "sts:")):
        return  # a session of the root's own: GetSessionToken reference says what it may not
    else:
        kind = "identity-based"
    raise AccessDenied(
        f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} "
        f"because no {kind} policy allows the {action} action"
    )


def _account_of(service: str, given: Mapping[str, Any]) -> AccountId | None:
    """The account that the input's function name spells out, if any."""
    if service == "lambda":
        name = given.get("FunctionName")
        if name is not None and ":" in name:
            return named_account(name)
    if service == "sqs":
        owner = given.get("QueueOwnerAWSAccountId")
        if owner is not None:
            return AccountId(owner)
        named = parse_queue_url(given.get("QueueUrl", ""))
        return None if named is None else named[0]
    return None


def _anything(given: Mapping[str, Any], account_id: AccountId, region: Region) -> str:
    return "*"


def _function(given: Mapping[str, Any], account_id: AccountId, region: Region) -> str:
    name = given.get("FunctionName")
    if name is None:
        return "*"
    reference = parse_function_reference(name, account_id=account_id, region=region)
    return reference.key.arn(reference.qualifier or given.get("Qualifier"))


def _log_group(given: Mapping[str, Any], account_id: AccountId, region: Region) -> str:
    group = given.get("logGroupName") or given.get("logGroupIdentifier") or given.get("resourceArn")
    if group is None:
        return f"arn:aws:logs:{region}:{account_id}:log-group::log-stream:"
    if group.startswith("arn:"):
        return str(group)
    stream = given.get("logStreamName", "")
    return f"arn:aws:logs:{region}:{account_id}:log-group:{group}:log-stream:{stream}"


def _queue(given: Mapping[str, Any], account_id: AccountId, region: Region) -> str:
    named = parse_queue_url(given.get("QueueUrl", ""))
    name = given.get("QueueName") if named is None else named[1]
    if name is None:
        return str(given.get("SourceArn") or parse_task_handle(given.get("TaskHandle", "")) or "*")
    return f"arn:aws:sqs:{region}:{account_id}:{name}"


_RESOURCES: Final[Mapping[str, Resource]] = {"lambda": _function, "logs": _log_group, "sqs": _queue}

# Where the action is not the operation's name, or no resource can be named (service authorization reference).
_RULES: Final[Mapping[tuple[str, str], Rule]] = {
    ("lambda", "Invoke"): Rule("lambda:InvokeFunction", _function),
    ("lambda", "InvokeAsync"): Rule("lambda:InvokeFunction", _function),
    ("lambda", "InvokeWithResponseStream"): Rule("lambda:InvokeFunction", _function),
    ("lambda", "ListFunctions"): Rule("lambda:ListFunctions", _anything),
    ("lambda", "GetAccountSettings"): Rule("lambda:GetAccountSettings", _anything),
    ("lambda", "GetLayerVersionByArn"): Rule("lambda:GetLayerVersion", _anything),
    ("sqs", "SendMessageBatch"): Rule("sqs:SendMessage", _queue),
    ("sqs", "DeleteMessageBatch"): Rule("sqs:DeleteMessage", _queue),
    ("sqs", "ChangeMessageVisibilityBatch"): Rule("sqs:ChangeMessageVisibility", _queue),
    ("sqs", "ListQueues"): Rule("sqs:ListQueues", _anything),
    ("sts", "GetCallerIdentity"): Rule("sts:GetCallerIdentity", _anything),
}

_NEVER_ACROSS_ACCOUNTS: Final = frozenset(("lambda:CreateFunction",))
"""Recorded: refused without a message, since no policy could allow it."""

_ALLOWED_TO_ALL: Final = frozenset(
    (
        "sts:GetCallerIdentity",
        "sts:GetSessionToken",
        "sts:AssumeRole",
        "sts:AssumeRoleWithWebIdentity",
    )
)
"""Allowed here to whoever calls: two need no permission (their reference pages); whether a role may be
assumed is decided with the role at hand, by its trust policy (`control_plane/sts`)."""
