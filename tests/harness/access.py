"""Authorization without IAM: a squib in which nobody has a policy and nothing is declared."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from squib.access.denials import Denials
from squib.access.permissions import Judgement
from squib.gateway.authorize import Authorizer
from squib.iam.caller import caller_of
from squib.iam.context import Context, Value, keys
from squib.iam.evaluate import Request, evaluate
from squib.model.identity import Principal, PrincipalKind
from squib.model.item import Key, Kind
from squib.model.units import AccountId, Region

K = TypeVar("K", bound=Key)
V = TypeVar("V", bound=msgspec.Struct)


def root_only() -> Authorizer:
    """Lets root do what it likes with its own, and nobody else anything."""
    return Authorizer(NoPolicies(), NothingStored(), Denials())


class NoPolicies:
    """A squib in which nobody has any policy: root may act on its own, and nothing else may be done."""

    def needs_no_policy(self, principal: Principal, resource: str) -> bool:
        return principal.kind is PrincipalKind.ROOT

    def tags(self, resource: str) -> Mapping[str, str]:
        return {}

    def judge(
        self,
        principal: Principal,
        action: str,
        resource: str,
        account_id: AccountId,
        call_keys: Callable[[], Mapping[str, Value]],
    ) -> Judgement:
        request = Request(
            caller=caller_of(principal),
            action=action,
            resource=resource,
            account_id=account_id,
            context=Context(keys(call_keys())),
        )
        return Judgement(request, evaluate(request))


class NothingStored:
    """A squib in which nothing is declared."""

    def iam_arn(self, account_id: AccountId, kind: str, name: str) -> str | None:
        return None

    def mapping_function_arn(self, account_id: AccountId, region: Region, uuid: str) -> str | None:
        return None

    def url_auth_type(self, function_arn: str) -> str | None:
        return None

    def dead_letter_sources(self, queue_arn: str) -> Sequence[str]:
        return ()


class NoItems:
    """A store's memory in which there is no item: implements `store.base.Reader`."""

    def get(self, kind: Kind[K, V], key: K) -> V | None:
        return None

    def page(
        self,
        kind: Kind[K, V],
        account_id: AccountId,
        region: Region,
        *,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> Sequence[V]:
        return ()
