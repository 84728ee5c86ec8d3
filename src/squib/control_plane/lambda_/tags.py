"""Tags of functions: ListTags, TagResource, UntagResource."""

from collections.abc import Callable, Mapping

import msgspec

from squib.clock import Entropy
from squib.control_plane.lambda_.lookup import record_of
from squib.model.arn import FunctionReference, parse_function_arn, parse_function_reference
from squib.model.errors import InvalidParameterValue, UnsupportedParameter
from squib.model.function import FUNCTIONS
from squib.model.limits import MAX_TAGS
from squib.model.operation import AuthorizedCall, Handler, OperationResult
from squib.store.base import Store, Transaction

Tags = Mapping[str, str]


class TagService:
    """The tag operations. A function's tags are part of its record, not of a version of it."""

    def __init__(self, store: Store, entropy: Entropy) -> None:
        self._store = store
        self._entropy = entropy

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ListTags": self.list_tags,
            "TagResource": self.tag_resource,
            "UntagResource": self.untag_resource,
        }

    async def list_tags(self, call: AuthorizedCall) -> OperationResult:
        reference = _tagged(call)
        return OperationResult(output={"Tags": dict(record_of(self._store.memory, reference).tags)})

    async def tag_resource(self, call: AuthorizedCall) -> OperationResult:
        reference = _tagged(call)
        given: Tags = call.input["Tags"]
        if not given:
            raise InvalidParameterValue("An error occurred and the request cannot be processed.")
        return await self._change(reference, lambda tags: {**tags, **given})

    async def untag_resource(self, call: AuthorizedCall) -> OperationResult:
        reference = _tagged(call)
        keys = frozenset(call.input["TagKeys"])
        return await self._change(
            reference, lambda tags: {key: value for key, value in tags.items() if key not in keys}
        )

    async def _change(self, reference: FunctionReference, change: Callable[[Tags], Tags]) -> OperationResult:
        revision_id = self._entropy.request_id()

        def decide(transaction: Transaction) -> None:
            record = record_of(transaction, reference)
            tags = change(record.tags)
            check_tags(tags)
            declared = msgspec.structs.replace(record.declared, revision_id=revision_id)
            changed = msgspec.structs.replace(record, declared=declared, tags=tags)
            transaction.put(FUNCTIONS, record.key, changed)

        await self._store.write(decide)
        return OperationResult(output={}, status=204)


def check_tags(tags: Tags) -> None:
    """Raises InvalidParameterValue for more tags than a resource may have."""
    if len(tags) > MAX_TAGS:
        raise InvalidParameterValue("Number of tags exceeds resource tag limit.")


def _tagged(call: AuthorizedCall) -> FunctionReference:
    """The function that `Resource` names; other resources have no tags in squib yet."""
    arn: str = call.input["Resource"]
    named = parse_function_arn(arn)
    if named is None:
        raise UnsupportedParameter(call.operation, f"Resource ({arn})")
    if named.qualifier is not None:
        raise InvalidParameterValue(
            "Tags on function aliases and versions are not supported. Please specify a function ARN."
        )
    return parse_function_reference(arn, account_id=call.account_id, region=call.region)
