"""The caller's side of a decision: who a principal is to policies, and which policies are the caller's.

What is compiled is kept until IAM is written to, and no longer: what is revoked is refused on the next call.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple
from weakref import ref

from squib.iam.caller import Caller, caller_of
from squib.iam.compiled import CompiledPolicy, PolicySet, compile_policy
from squib.iam.context import Values, caller_keys
from squib.iam.document import parse_document
from squib.iam.evaluate import CallerPolicies
from squib.model.entity import Group, Role, User
from squib.model.errors import ApiError
from squib.model.identity import Principal, PrincipalKind
from squib.model.policy import Effect, PolicyDocument, PolicyType, Statement
from squib.store.identities import Identities

_MAX_REMEMBERED: Final = 2_048  # our own choice, of principals: each is some 2 KB
_MAX_STATEMENTS: Final = 32_768  # our own choice, of theirs: a compiled one takes about 2 KB
_MAX_POLICIES: Final = 1_024  # our own choice, compiled and remembered by their text
_TYPES: Final = {
    PrincipalKind.ROOT: "Account",
    PrincipalKind.USER: "User",
    PrincipalKind.ASSUMED_ROLE: "AssumedRole",
    PrincipalKind.ANONYMOUS: "Anonymous",
}
UNREADABLE: Final = PolicyDocument(
    statements=(Statement(effect=Effect.DENY, actions=("*",), resources=("*",), sid="UnreadableDocument"),)
)
"""Stands for a stored document that this squib cannot read: what it denies is not known."""


class CallerView(NamedTuple):
    """A principal as `iam.evaluate` takes it."""

    caller: Caller
    policies: CallerPolicies
    keys: Values
    """Condition keys that hold for all of its calls."""


class CallerBook:
    """Views of principals. On the event loop only."""

    def __init__(
        self,
        identities: Identities,
        org_id: str | None = None,
        *,
        max_statements: int = _MAX_STATEMENTS,
    ) -> None:
        """`org_id` names the organization that all accounts are in, if any (aws:PrincipalOrgID).
        `max_statements` may be remembered before all are forgotten: principals choose their session's."""
        self._identities = identities
        self._org_id = org_id
        self._generation = -1
        self._views: dict[int, tuple[ref[Principal], CallerView]] = {}  # by the principal's id
        self._sets: dict[str, PolicySet] = {}  # identity-based policies by ARN of the user or role
        self._max_statements, self._statements = max_statements, 0  # of all that is remembered

    def of(self, principal: Principal) -> CallerView:
        """The view of a principal whose credentials are valid. One whose user or role is gone may nothing."""
        self._forget_what_changed()
        known = self._views.get(id(principal))
        if known is not None:
            return known[1]
        if len(self._views) >= _MAX_REMEMBERED or self._statements >= self._max_statements:
            self._forget()
        view = self._look(principal)
        number, views = id(principal), self._views
        # A key that is no longer known takes its principal with it, and this view: its id may be given again.
        views[number] = (ref(principal, lambda _: views.pop(number, None)), view)
        for own in (view.policies.boundary, view.policies.session):
            self._statements += 0 if own is None else len(own.statements)
        return view

    def of_entity(self, entity: User | Role) -> CallerPolicies:
        """The policies of a user or role without a session."""
        self._forget_what_changed()
        return CallerPolicies(identity=self._identity(entity), boundary=self._boundary(entity))

    def _forget_what_changed(self) -> None:
        generation = self._identities.generation
        if generation != self._generation:
            self._generation = generation
            self._forget()

    def _forget(self) -> None:
        self._views.clear()
        self._sets.clear()
        self._statements = 0

    def _look(self, principal: Principal) -> CallerView:
        entity = self._identities.entity_of(principal)
        if entity is None:
            policies = CallerPolicies(
                identity=PolicySet(PolicyType.IDENTITY, ()), session=self._session(principal)
            )
        else:
            policies = CallerPolicies(
                identity=self._identity(entity),
                boundary=self._boundary(entity),
                session=self._session(principal),
            )
        role_arn = entity.arn if isinstance(entity, Role) else None
        return CallerView(
            caller_of(principal, role_arn=role_arn),
            policies,
            _keys(principal, entity, role_arn, self._org_id),
        )

    def _identity(self, entity: User | Role) -> PolicySet:
        found = self._sets.get(entity.arn)
        if found is None:
            found = self._sets[entity.arn] = PolicySet(PolicyType.IDENTITY, self._identity_policies(entity))
            self._statements += len(found.statements)
        return found

    def _identity_policies(self, entity: User | Role) -> Iterator[CompiledPolicy]:
        yield from self._carried(entity)
        if isinstance(entity, User):
            for name in entity.groups:
                group = self._identities.group(entity.account_id, name)
                if group is not None:
                    yield from self._carried(group)

    def _carried(self, entity: User | Role | Group) -> Iterator[CompiledPolicy]:
        for name, text in entity.inline.items():
            yield _compiled(PolicyType.IDENTITY, f"{entity.arn}/{name}", text)
        yield from self._managed(PolicyType.IDENTITY, entity.attached)

    def _managed(self, policy_type: PolicyType, arns: Iterable[str]) -> Iterator[CompiledPolicy]:
        for arn in arns:
            policy = self._identities.policy(arn)
            if policy is not None:
                yield _compiled(policy_type, arn, policy.default.document)

    def _boundary(self, entity: User | Role) -> PolicySet | None:
        """One that is set but gone allows nothing."""
        if entity.boundary_arn is None:
            return None
        return PolicySet(PolicyType.BOUNDARY, self._managed(PolicyType.BOUNDARY, (entity.boundary_arn,)))

    def _session(self, principal: Principal) -> PolicySet | None:
        session = principal.session
        if session is None or not (session.policies or session.policy_arns):
            return None
        passed = [
            compile_policy(PolicyType.SESSION, "session policy", _read(text)) for text in session.policies
        ]
        attached = self._managed(PolicyType.SESSION, session.policy_arns)
        return PolicySet(PolicyType.SESSION, [*passed, *attached])


@lru_cache(maxsize=_MAX_POLICIES)
def _compiled(policy_type: PolicyType, policy_id: str, text: str) -> CompiledPolicy:
    """Kept by its text: when one policy of a caller changes, the others need not be compiled again."""
    return compile_policy(policy_type, policy_id, document_of(text))


@lru_cache(maxsize=_MAX_POLICIES)
def document_of(text: str) -> PolicyDocument:
    """A stored document of a caller. One that cannot be read denies everything."""
    return _read(text)


def _read(text: str) -> PolicyDocument:
    try:
        return parse_document(text, PolicyType.IDENTITY)
    except ApiError:
        return UNREADABLE


def _keys(
    principal: Principal, entity: User | Role | None, role_arn: str | None, org_id: str | None
) -> Values:
    session = principal.session
    tags = {} if entity is None else dict(entity.tags)
    if session is not None:
        tags.update(session.tags)
    return caller_keys(
        principal_arn=role_arn or principal.arn,
        principal_account=principal.account_id,
        principal_type=_TYPES[principal.kind],
        user_id=principal.user_id,
        username=principal.entity_name if principal.kind is PrincipalKind.USER else None,
        principal_tags=tags,
        source_identity=None if session is None else session.source_identity,
        federated_provider=None if session is None else session.provider,
        token_issued_at_ms=None if session is None else session.issued_at_ms,
        org_id=org_id,
        is_mfa_present=None if session is None else False,
        source_function_arn=principal.source_function_arn,
    )
