"""Decisions, with all they need found: policies of the caller, of the resource, of the organization."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from squib.access.callers import CallerBook, CallerView
from squib.access.organization import Organization
from squib.access.resources import ResourceBook
from squib.clock import Clock
from squib.iam.caller import service_caller
from squib.iam.context import Context, Value, Values, keys, service_keys
from squib.iam.evaluate import NO_CALLER_POLICIES, Decision, Request, ResourcePolicies, evaluate
from squib.model.identity import Principal, PrincipalKind, Session, role_session_principal
from squib.model.units import AccountId
from squib.store.identities import Identities

_MAX_SESSIONS: Final = 256  # our own choice, of roles that squib itself works with


class Judgement(NamedTuple):
    """A decision and what it is about."""

    request: Request
    decision: Decision

    @property
    def is_allowed(self) -> bool:
        """Whether it may happen."""
        return self.decision.is_allowed


class LazyKeys(Mapping[str, tuple[str, ...]]):
    """Condition keys that are only put together when a policy asks for one: most ask for none."""

    __slots__ = ("_found", "_make")

    def __init__(self, make: Callable[[], Mapping[str, Value]]) -> None:
        self._make = make
        self._found: Values | None = None

    def __getitem__(self, key: str) -> tuple[str, ...]:
        return self._keys()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys())

    def __len__(self) -> int:
        return len(self._keys())

    def _keys(self) -> Values:
        if self._found is None:
            self._found = keys(self._make())
        return self._found


class Permissions:
    """Asks `iam.evaluate` about what is stored now. On the event loop only."""

    def __init__(
        self,
        identities: Identities,
        callers: CallerBook,
        resources: ResourceBook,
        clock: Clock,
        organization: Organization | None = None,
    ) -> None:
        self._identities = identities
        self._callers = callers
        self._resources = resources
        self._clock = clock
        self._organization = organization or Organization()
        self._sessions: dict[tuple[str, str, str | None], Principal] = {}

    def needs_no_policy(self, principal: Principal, resource: str) -> bool:
        """Whether root acts on what is its own, and nothing could deny that: a session of root's own is bound
        by what GetSessionToken says."""
        return (
            principal.kind is PrincipalKind.ROOT
            and principal.session is None
            and self._organization.is_empty
            and self._resources.of(resource) is None
        )

    @property
    def generation(self) -> int:
        """Another number after every write of IAM: until then a role may what it might before."""
        return self._identities.generation

    def tags(self, resource: str) -> Mapping[str, str]:
        """`aws:ResourceTag` of a resource."""
        return self._resources.tags(resource)

    def judge(
        self,
        principal: Principal,
        action: str,
        resource: str,
        account_id: AccountId,
        call_keys: Callable[[], Mapping[str, Value]] = dict,
    ) -> Judgement:
        """Whether the principal may do `action` on `resource`, which is in `account_id`. `call_keys` gives
        the condition keys of the call when they are asked for."""
        view = self._callers.of(principal)
        return self._judge(view, action, resource, account_id, LazyKeys(call_keys))

    def judge_role(
        self,
        role_arn: str,
        session_name: str,
        action: str,
        resource: str,
        *,
        source_function_arn: str | None = None,
        account_id: AccountId | None = None,
        call_keys: Callable[[], Mapping[str, Value]] = dict,
    ) -> Judgement:
        """Whether squib may do something with a function's execution role, as a session of that name. The
        resource counts as of `account_id`, else of the account in its ARN, else of the role's. A role that is
        gone may nothing."""
        principal = self._session(role_arn, session_name, source_function_arn)
        owner = account_id or account_of(resource) or principal.account_id
        return self.judge(principal, action, resource, owner, call_keys)

    def judge_service(
        self,
        service: str,
        action: str,
        resource: str,
        *,
        source_arn: str | None = None,
        source_account: AccountId | None = None,
    ) -> Judgement:
        """Whether a service, such as `s3.amazonaws.com`, may do something for a resource of a user: only the
        policy of `resource` can say so."""
        request = Request(
            caller=service_caller(service),
            action=action,
            resource=resource,
            account_id=account_of(resource) or AccountId(""),
            context=Context(
                service_keys(
                    service=service,
                    source_arn=source_arn,
                    source_account=source_account,
                    source_org_id=self._organization.org_id,
                ),
                now_ms=self._clock.now_ms(),
            ),
        )
        on_resource = ResourcePolicies(
            resource=self._resources.of(resource),
            resource_control=self._organization.resource_control(request.account_id),
        )
        return Judgement(request, evaluate(request, NO_CALLER_POLICIES, on_resource))

    def _judge(
        self, view: CallerView, action: str, resource: str, account_id: AccountId, call_keys: LazyKeys
    ) -> Judgement:
        request = Request(
            caller=view.caller,
            action=action,
            resource=resource,
            account_id=account_id,
            context=Context(call_keys, view.keys, now_ms=self._clock.now_ms()),
        )
        policies = view.policies
        organization = self._organization
        on_resource = ResourcePolicies(resource=self._resources.of(resource))
        if not organization.is_empty:
            policies = msgspec.structs.replace(
                policies, service_control=organization.service_control(view.caller.account_id)
            )
            on_resource = msgspec.structs.replace(
                on_resource, resource_control=organization.resource_control(account_id)
            )
        return Judgement(request, evaluate(request, policies, on_resource))

    def _session(self, role_arn: str, session_name: str, source_function_arn: str | None) -> Principal:
        named = (role_arn, session_name, source_function_arn)
        role = self._identities.role_by_arn(role_arn)
        role_id = "" if role is None else role.unique_id
        known = self._sessions.get(named)
        if known is not None and known.entity_id == role_id:
            return known
        if len(self._sessions) >= _MAX_SESSIONS:
            self._sessions.clear()
        made = self._sessions[named] = role_session_principal(
            role_arn=role_arn,
            session_name=session_name,
            role_id=role_id,
            source_function_arn=source_function_arn,
            session=Session(name=session_name, issued_at_ms=self._clock.now_ms()),
        )
        return made


def account_of(arn: str) -> AccountId | None:
    """The account that an ARN names, if it names one."""
    parts = arn.split(":", 5)
    return AccountId(parts[4]) if len(parts) == 6 and parts[4] else None
