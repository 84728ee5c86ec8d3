"""Whether a call may happen, and on whose resources.

The table of actions says what each operation asks permission for; `access` finds the policies and decides.
Stages 3 to 5 of the gateway end here: what comes out may be done.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from squib.access.denials import Denials
from squib.access.permissions import Judgement, account_of
from squib.gateway.actions.rule import Ask, Known, Place, asks
from squib.gateway.actions.table import TABLE
from squib.iam.context import Value, call_keys
from squib.iam.denial import denial_message
from squib.model.errors import AccessDenied, ServiceException
from squib.model.identity import Principal, PrincipalKind
from squib.model.operation import AuthorizedCall, OperationCall, RawRequest
from squib.model.units import AccountId, Region

_ALLOWED_TO_ALL: Final = frozenset((("sts", "GetCallerIdentity"), ("sts", "GetSessionToken")))
"""Allowed to whoever is authenticated, by no policy (references of the two)."""
_DECIDED_BY_HANDLERS: Final = frozenset((("sts", "AssumeRole"), ("sts", "AssumeRoleWithWebIdentity")))
"""The role's trust policy decides, together with the caller's own: `iam.trust`."""
_NOT_DECIDED_HERE: Final = _ALLOWED_TO_ALL | _DECIDED_BY_HANDLERS
_WITH_LONG_LIVED_KEYS: Final = frozenset((PrincipalKind.ROOT, PrincipalKind.USER))
_LEFT_TO_SESSION_TOKENS: Final = frozenset(("sts:AssumeRole", "sts:GetCallerIdentity"))
_PASS_ROLE: Final = "iam:PassRole"
_NEVER_ACROSS_ACCOUNTS: Final = frozenset((("lambda", "CreateFunction"),))
"""Recorded: refused without a message, since no policy could allow it."""


class Judge(Protocol):
    """`access.permissions.Permissions`, as far as it is used here."""

    def needs_no_policy(self, principal: Principal, resource: str) -> bool: ...

    def judge(
        self,
        principal: Principal,
        action: str,
        resource: str,
        account_id: AccountId,
        call_keys: Callable[[], Mapping[str, Value]],
    ) -> Judgement: ...

    def tags(self, resource: str) -> Mapping[str, str]: ...


class Authorizer:
    """Lets calls through, or refuses them in AWS's words."""

    def __init__(self, judge: Judge, known: Known, denials: Denials) -> None:
        self._judge = judge
        self._known = known
        self._denials = denials

    def authorize(self, call: OperationCall) -> AuthorizedCall:
        """The call, allowed. Raises AccessDenied; and what is raised for a function's name that is none."""
        authenticated = call.authenticated
        routed = authenticated.routed
        named = (routed.service, routed.operation)
        principal = authenticated.principal
        rule = TABLE.get(named)
        if rule is None:  # a handler without a row: nobody may, until somebody writes the row
            raise ServiceException(f"squib does not know what permission {':'.join(named)} takes.")
        place = Place(principal, principal.account_id, authenticated.region, self._known)
        resource = rule.resource(call.input, place)
        account_id = _account_of(resource) or principal.account_id
        is_own = account_id == principal.account_id
        if not is_own and named in _NEVER_ACROSS_ACCOUNTS:
            raise AccessDenied()
        if principal.session is not None and principal.kind in _WITH_LONG_LIVED_KEYS:
            self._refuse_session_token(rule.action, resource, principal)
        # The common case, an account's root on what is its own, asks nothing further.
        if (
            not (is_own and self._judge.needs_no_policy(principal, resource))
            and named not in _NOT_DECIDED_HERE
        ):
            for ask in asks(rule, call.input, place):
                self._demand(ask, call, is_own=is_own)
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
            source_ip=request.source_ip,
        )

    def _refuse_session_token(self, action: str, resource: str, principal: Principal) -> None:
        """What the credentials of GetSessionToken may not, whatever policies say (its reference)."""
        if action.startswith(("iam:", "sts:")) and action not in _LEFT_TO_SESSION_TOKENS:
            raise AccessDenied(
                f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource} "
                f"because no identity-based policy allows the {action} action"
            )

    def _demand(self, ask: Ask, call: OperationCall, *, is_own: bool) -> None:
        authenticated = call.authenticated
        request = authenticated.routed.request
        principal = authenticated.principal
        account_id = _account_of(ask.resource) or principal.account_id
        if is_own and ask.action == _PASS_ROLE and account_id != principal.account_id:
            return  # no role of the function's account: the handler refuses it in its own words

        def keys() -> Mapping[str, Value]:
            return {
                **_global_keys(request, authenticated.region, account_id, self._judge.tags(ask.resource)),
                **ask.keys,
            }

        judgement = self._judge.judge(principal, ask.action, ask.resource, account_id, keys)
        if not judgement.is_allowed:
            self._denials.note(request.request_id, judgement, at_ms=request.received_at_ms)
            raise AccessDenied(denial_message(judgement.request, judgement.decision))


def _global_keys(
    request: RawRequest, region: Region, account_id: AccountId, tags: Mapping[str, str]
) -> Mapping[str, Value]:
    return call_keys(
        requested_region=region,
        source_ip=request.source_ip or None,
        is_secure_transport=False,
        user_agent=request.headers.get("user-agent"),
        referer=request.headers.get("referer"),
        is_via_service=False,
        resource_account=account_id,
        resource_tags=tags,
    )


def _account_of(resource: str) -> AccountId | None:
    """The account that an ARN names; None for no account, and for AWS's own policies."""
    account_id = account_of(resource)
    return account_id if account_id is not None and account_id.isdigit() else None
