"""The resource's side of a decision: the policy that a function, layer version or queue carries, and tags."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from squib.access.callers import UNREADABLE
from squib.iam.compiled import PolicySet, compile_policy
from squib.iam.document import parse_document
from squib.model.alias import qualified_key
from squib.model.arn import parse_function_arn
from squib.model.errors import ApiError
from squib.model.function import FUNCTIONS
from squib.model.item import ItemKey
from squib.model.layer import LAYER_VERSIONS, parse_layer_arn
from squib.model.policy import PolicyDocument, PolicyType
from squib.model.queue import QUEUES, Queue, parse_queue_arn
from squib.model.resource_policy import RESOURCE_POLICIES
from squib.store.base import Collection, Store

_MAX_REMEMBERED: Final = 8_192  # our own choice, of resources
_NO_TAGS: Final[Mapping[str, str]] = {}

Finder: TypeAlias = Callable[[str], str | None]
"""From an ARN to the document that the resource carries, if any."""


class ResourceBook:
    """Policies of resources by their ARN. On the event loop only."""

    def __init__(self, store: Store) -> None:
        self._functions = store.collection(FUNCTIONS)
        self._policies = store.collection(RESOURCE_POLICIES)
        self._layers = store.collection(LAYER_VERSIONS)
        self._queues = store.collection(QUEUES)
        self._read: tuple[Collection[Any, Any], ...] = (self._policies, self._layers, self._queues)
        self._finders: Mapping[str, Finder] = {"lambda": self._of_lambda, "sqs": self._of_queue}
        self._generation = -1
        self._sets: dict[str, PolicySet | None] = {}

    def of(self, arn: str) -> PolicySet | None:
        """The policy of the resource; None when it has none."""
        generation = 0
        for collection in self._read:
            generation += collection.generation
        if generation != self._generation or len(self._sets) >= _MAX_REMEMBERED:
            self._generation = generation
            self._sets.clear()
        try:
            return self._sets[arn]
        except KeyError:
            found = self._sets[arn] = self._find(arn)
            return found

    def tags(self, arn: str) -> Mapping[str, str]:
        """`aws:ResourceTag`: tags of a function, also by the ARN of one of its versions or aliases, or of a
        queue."""
        function = parse_function_arn(arn)
        if function is not None:
            record = self._functions.peek(function.key)
            return _NO_TAGS if record is None else record.tags
        queue = self._queue(arn)
        return _NO_TAGS if queue is None else queue.tags

    def _find(self, arn: str) -> PolicySet | None:
        parts = arn.split(":", 3)
        finder = self._finders.get(parts[2]) if len(parts) == 4 else None
        text = None if finder is None else finder(arn)
        if text is None:
            return None
        return PolicySet(PolicyType.RESOURCE, [compile_policy(PolicyType.RESOURCE, arn, _document(text))])

    def _of_lambda(self, arn: str) -> str | None:
        function = parse_function_arn(arn)
        if function is not None:
            key = function.key
            if function.is_latest:
                policy = self._policies.peek(ItemKey(key.account_id, key.region, key.name))
            else:
                policy = self._policies.peek(qualified_key(key, function.qualifier or ""))
            return None if policy is None else json.dumps(policy.document)
        layer = parse_layer_arn(arn)
        version = None if layer is None or layer[1] is None else self._layers.peek(layer[0].version(layer[1]))
        return None if version is None or not version.statements else version.policy()

    def _of_queue(self, arn: str) -> str | None:
        queue = self._queue(arn)
        return None if queue is None or not queue.policy else queue.policy

    def _queue(self, arn: str) -> Queue | None:
        key = parse_queue_arn(arn)
        return None if key is None else self._queues.peek(key)


def _document(text: str) -> PolicyDocument:
    """One that cannot be read denies everybody."""
    try:
        return parse_document(text, PolicyType.RESOURCE)
    except ApiError:
        return UNREADABLE
