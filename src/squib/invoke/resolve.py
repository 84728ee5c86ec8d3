"""From the name a caller used to the version that runs."""

from collections.abc import Callable
from typing import Self

import msgspec

from squib.model.alias import ALIASES, qualified_key, version_for
from squib.model.arn import FunctionReference, is_version_number, parse_function_reference
from squib.model.errors import ResourceConflict, ResourceNotFound, SnapStartNotReady
from squib.model.function import LATEST, VERSIONS, FunctionVersion, State, version_key
from squib.model.units import AccountId, Region
from squib.store.base import Aliases, Functions, Store, Versions


class Target(msgspec.Struct, frozen=True):
    """What an invocation is of."""

    function: FunctionVersion
    invoked_arn: str
    """With the qualifier the caller used, if any."""
    qualifier: str | None = None
    """The same by itself."""


class Resolver:
    """Finds versions in memory; never waits."""

    def __init__(
        self, functions: Functions, versions: Versions, aliases: Aliases, draw: Callable[[], float]
    ) -> None:
        """`draw` decides between the two versions of a weighted alias."""
        self._functions, self._versions, self._aliases = functions, versions, aliases
        self._draw = draw

    @classmethod
    def of(cls, store: Store, draw: Callable[[], float]) -> Self:
        """On what a store holds."""
        return cls(store.functions, store.collection(VERSIONS), store.collection(ALIASES), draw)

    def resolve(self, name: str, qualifier: str | None, *, account_id: AccountId, region: Region) -> Target:
        """The version behind a name. Raises the errors of `parse_function_reference`, ResourceNotFound, and
        SnapStartNotReady and ResourceConflict while the version can't be invoked."""
        reference = parse_function_reference(name, qualifier, account_id=account_id, region=region)
        version = LATEST if reference.is_latest else self._published(reference)
        if version == LATEST:
            record = self._functions.peek(reference.key)
            if record is None:
                raise _not_found(reference)
            active = record.active
            if active is None:
                raise ResourceConflict(_state_text(record.declared.state))
            return Target(active, reference.arn, reference.qualifier)
        published = self._versions.peek(version_key(reference.key, version))
        if published is None:
            raise _not_found(reference)
        if published.state is State.PENDING and published.has_snapshot:
            raise SnapStartNotReady()
        if published.state is not State.ACTIVE:
            raise ResourceConflict(_state_text(published.state))
        return Target(published, reference.arn, reference.qualifier)

    def _published(self, reference: FunctionReference) -> str:
        """The number that a qualifier means, or `$LATEST`."""
        qualifier = reference.qualifier or LATEST
        if is_version_number(qualifier):
            return qualifier
        alias = self._aliases.peek(qualified_key(reference.key, qualifier))
        if alias is None:
            raise _not_found(reference)
        return version_for(alias, draw=self._draw()) if alias.weights else alias.function_version


def _not_found(reference: FunctionReference) -> ResourceNotFound:
    return ResourceNotFound(f"Function not found: {reference.key.arn(reference.qualifier or LATEST)}")


def _state_text(state: State) -> str:
    return (
        "The operation cannot be performed at this time. "
        f"The function is currently in the following state: {state}"
    )
