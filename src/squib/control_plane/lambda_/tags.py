"""Tags of Lambda's resources: ListTags, TagResource, UntagResource.

Where a kind of resource keeps its tags is its own affair: it is a `Tagged`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from squib.clock import Entropy
from squib.control_plane.lambda_.lookup import record_of
from squib.model.arn import FunctionReference, parse_function_arn, parse_function_reference
from squib.model.errors import InvalidParameterValue, ResourceNotFound, UnsupportedParameter
from squib.model.function import FUNCTIONS
from squib.model.limits import MAX_TAGS
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Reader, Store, Transaction

Tags = Mapping[str, str]


class Tagged(Protocol):
    """The resources of one kind. A call names one by its ARN, `Resource`."""

    def names(self, arn: str) -> bool:
        """Whether the ARN is of this kind."""

    def read(self, call: AuthorizedCall, reader: Reader) -> Tags:
        """The resource's tags. Raises the ApiError of one that does not exist or can have none."""

    def write(self, call: AuthorizedCall, transaction: Transaction, tags: Tags, revision_id: str) -> None:
        """Replaces them, after `read` in the same transaction. `revision_id` is fresh."""


class TagService:
    """The tag operations, for the kinds of resources given."""

    def __init__(self, store: Store, entropy: Entropy, kinds: Sequence[Tagged]) -> None:
        self._store = store
        self._entropy = entropy
        self._kinds = kinds

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ListTags": self.list_tags,
            "TagResource": self.tag_resource,
            "UntagResource": self.untag_resource,
        }

    async def list_tags(self, call: AuthorizedCall) -> OperationResult:
        return OperationResult(output={"Tags": dict(self._kind(call).read(call, self._store.memory))})

    async def tag_resource(self, call: AuthorizedCall) -> OperationResult:
        given: Tags = call.input["Tags"]
        return await self._change(call, lambda tags: {**tags, **given}, asks_nothing=not given)

    async def untag_resource(self, call: AuthorizedCall) -> OperationResult:
        keys = frozenset(call.input["TagKeys"])
        return await self._change(
            call, lambda tags: {key: value for key, value in tags.items() if key not in keys}
        )

    async def _change(
        self, call: AuthorizedCall, change: Callable[[Tags], Tags], *, asks_nothing: bool = False
    ) -> OperationResult:
        kind = self._kind(call)
        if asks_nothing:
            raise InvalidParameterValue("An error occurred and the request cannot be processed.")
        revision_id = self._entropy.request_id()

        def decide(transaction: Transaction) -> None:
            tags = change(kind.read(call, transaction))
            check_tags(tags)
            kind.write(call, transaction, tags, revision_id)

        await self._store.write(decide)
        return OperationResult(output={}, status=204)

    def _kind(self, call: AuthorizedCall) -> Tagged:
        arn: str = call.input["Resource"]
        for kind in self._kinds:
            if kind.names(arn):
                return kind
        if ":capacity-provider:" in arn:
            raise ResourceNotFound(f"Capacity provider not found: {arn}")  # none can be made
        raise UnsupportedParameter(call.operation, f"Resource ({arn})")


class FunctionTags:
    """Implements `Tagged`: a function's tags are part of its record, not of a version of it."""

    def names(self, arn: str) -> bool:
        return parse_function_arn(arn) is not None

    def read(self, call: AuthorizedCall, reader: Reader) -> Tags:
        return record_of(reader, _function(call)).tags

    def write(self, call: AuthorizedCall, transaction: Transaction, tags: Tags, revision_id: str) -> None:
        record = record_of(transaction, _function(call))
        declared = msgspec.structs.replace(record.declared, revision_id=revision_id)
        changed = msgspec.structs.replace(record, declared=declared, tags=tags)
        transaction.put(FUNCTIONS, record.key, changed)


def check_tags(tags: Tags) -> None:
    """Raises InvalidParameterValue for more tags than a resource may have."""
    if len(tags) > MAX_TAGS:
        raise InvalidParameterValue("Number of tags exceeds resource tag limit.")


def _function(call: AuthorizedCall) -> FunctionReference:
    """The function that `Resource` names."""
    arn: str = call.input["Resource"]
    named = parse_function_arn(arn)
    if named is None or named.qualifier is not None:
        raise InvalidParameterValue(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    return parse_function_reference(arn, account_id=call.account_id, region=call.region)
