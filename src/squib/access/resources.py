"""The resource's side of a decision: the policy that a function, layer version or queue carries, and tags.

What is compiled is kept until the policy is written again, and no longer.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from squib.access.callers import UNREADABLE
from squib.access.named import by_id
from squib.iam.compiled import PolicySet, compile_policy
from squib.iam.document import parse_document
from squib.model.alias import qualified_key
from squib.model.arn import parse_function_arn
from squib.model.errors import ApiError
from squib.model.function import FUNCTIONS
from squib.model.item import ItemKey, Key, Kind
from squib.model.layer import LAYER_VERSIONS, parse_layer_arn
from squib.model.policy import PolicyDocument, PolicyType
from squib.model.queue import QUEUES, parse_queue_arn
from squib.model.resource_policy import RESOURCE_POLICIES
from squib.store.base import Store

_MAX_REMEMBERED: Final = 1_024  # our own choice, of resources: each is some 600 bytes
_NO_TAGS: Final[Mapping[str, str]] = {}

Place: TypeAlias = tuple[str, Key]
"""Where a policy is stored: the kind's name, and the item's key."""


class _Carried(NamedTuple):
    """What a resource carries."""

    place: Place
    text: str = ""
    """The document; empty when there is none."""
    ids: Mapping[str, str] = {}
    """Unique ids of whom it names (`access.named`)."""


Finder: TypeAlias = Callable[[str], _Carried | None]
"""From an ARN to what the resource carries; None where there can be nothing."""


class ResourceBook:
    """Policies of resources by their ARN. On the event loop only."""

    def __init__(self, store: Store) -> None:
        self._functions = store.collection(FUNCTIONS)
        self._policies = store.collection(RESOURCE_POLICIES)
        self._layers = store.collection(LAYER_VERSIONS)
        self._queues = store.collection(QUEUES)
        self._finders: Mapping[str, Finder] = {"lambda": self._of_lambda, "sqs": self._of_queue}
        self._sets: dict[str, PolicySet | None] = {}
        self._arns: dict[Place, set[str]] = {}  # of `_sets`: a resource may be asked about by several
        self._policies.watch(self._forget(RESOURCE_POLICIES))
        self._layers.watch(self._forget(LAYER_VERSIONS))
        self._queues.watch(self._forget(QUEUES))

    def of(self, arn: str) -> PolicySet | None:
        """The policy of the resource; None when it has none."""
        try:
            return self._sets[arn]
        except KeyError:
            pass
        parts = arn.split(":", 3)
        finder = self._finders.get(parts[2]) if len(parts) == 4 else None
        if finder is None:
            return None  # and nothing to remember: log streams come and go
        if len(self._sets) >= _MAX_REMEMBERED:
            self._sets.clear()
            self._arns.clear()
        found = self._sets[arn] = self._find(arn, finder)
        return found

    def tags(self, arn: str) -> Mapping[str, str]:
        """`aws:ResourceTag`: tags of a function, also by the ARN of one of its versions or aliases, or of a
        queue."""
        function = parse_function_arn(arn)
        if function is not None:
            record = self._functions.peek(function.key)
            return _NO_TAGS if record is None else record.tags
        key = parse_queue_arn(arn)
        queue = None if key is None else self._queues.peek(key)
        return _NO_TAGS if queue is None else queue.tags

    def _forget(self, kind: Kind[Any, Any]) -> Callable[[Key, object, object], None]:
        def written(key: Key, before: object, after: object) -> None:
            for arn in self._arns.pop((kind.name, key), ()):
                self._sets.pop(arn, None)

        return written

    def _find(self, arn: str, finder: Finder) -> PolicySet | None:
        carried = finder(arn)
        if carried is None:
            return None
        self._arns.setdefault(carried.place, set()).add(arn)
        if not carried.text:
            return None
        document = by_id(_document(carried.text), carried.ids)
        return PolicySet(PolicyType.RESOURCE, [compile_policy(PolicyType.RESOURCE, arn, document)])

    def _of_lambda(self, arn: str) -> _Carried | None:
        function = parse_function_arn(arn)
        if function is not None:
            qualifier = None if function.is_latest else function.qualifier
            return self._of_function(qualified_key(function.key, qualifier))
        layer = parse_layer_arn(arn)
        if layer is None or layer[1] is None:
            return None
        key = layer[0].version(layer[1])
        version = self._layers.peek(key)
        text = "" if version is None or not version.statements else version.policy()
        return _Carried((LAYER_VERSIONS.name, key), text)  # names accounts only

    def _of_function(self, key: ItemKey) -> _Carried:
        place = (RESOURCE_POLICIES.name, key)
        policy = self._policies.peek(key)
        if policy is None:
            return _Carried(place)
        return _Carried(place, json.dumps(policy.document), policy.principal_ids)

    def _of_queue(self, arn: str) -> _Carried | None:
        key = parse_queue_arn(arn)
        if key is None:
            return None
        queue = self._queues.peek(key)
        place = (QUEUES.name, key)
        return _Carried(place) if queue is None else _Carried(place, queue.policy, queue.principal_ids)


def _document(text: str) -> PolicyDocument:
    """One that cannot be read denies everybody."""
    try:
        return parse_document(text, PolicyType.RESOURCE)
    except ApiError:
        return UNREADABLE
