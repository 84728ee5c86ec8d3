"""IAM: which operations are built. Each is a function of what `Iam` holds and a call."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

from squib.clock import Entropy
from squib.control_plane.iam import (
    absent,
    access_keys,
    account,
    entity_policies,
    groups,
    managed_policies,
    roles,
    simulate,
    tags,
    users,
)
from squib.control_plane.iam.lookup import Iam
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Store
from squib.store.identities import Identities
from squib.store.keyring import KeyRing

Operation: TypeAlias = Callable[[Iam, AuthorizedCall], Awaitable[OperationResult]]

_OPERATIONS: Final[Mapping[str, Operation]] = {
    **users.OPERATIONS,
    **groups.OPERATIONS,
    **roles.OPERATIONS,
    **entity_policies.OPERATIONS,
    **managed_policies.OPERATIONS,
    **access_keys.OPERATIONS,
    **tags.OPERATIONS,
    **account.OPERATIONS,
    **simulate.OPERATIONS,
    **absent.OPERATIONS,
}


class IamService:
    """The operations on users, groups, roles, policies, access keys and the account."""

    def __init__(self, store: Store, identities: Identities, keyring: KeyRing, entropy: Entropy) -> None:
        self._iam = Iam(store=store, identities=identities, keyring=keyring, entropy=entropy)

    def handlers(self) -> Mapping[str, Handler]:
        """See `registry.Service`."""
        return {name: partial(operation, self._iam) for name, operation in _OPERATIONS.items()}
