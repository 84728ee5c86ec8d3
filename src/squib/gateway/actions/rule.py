"""The form of a row: from an operation's input to the permissions it asks for.

Rows read the input and what is known of stored things; they decide nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from squib.model.identity import Principal
from squib.model.units import AccountId, Region

Input: TypeAlias = Mapping[str, Any]
"""The operation's input by the model's member names."""
Value: TypeAlias = str | tuple[str, ...]
"""Of a condition key: one, or several for a key that is a set."""

ANYTHING: Final = "*"
"""The resource of actions that name none."""


class Known(Protocol):
    """What is stored, as far as rows need it. Answers from memory; None for what is not there."""

    def iam_arn(self, account_id: AccountId, kind: str, name: str) -> str | None:
        """Of a `user`, `role`, `group` with that name: its ARN has a path that only the store knows."""

    def mapping_function_arn(self, account_id: AccountId, region: Region, uuid: str) -> str | None:
        """The function of an event source mapping."""

    def url_auth_type(self, function_arn: str) -> str | None:
        """Of the function URL of a function or alias."""

    def dead_letter_sources(self, queue_arn: str) -> Sequence[str]:
        """The queues whose dead letters go to a queue."""


class Place(NamedTuple):
    """Who calls, and where: names in an input mean things of this account and region."""

    principal: Principal
    account_id: AccountId
    region: Region
    known: Known


Resource: TypeAlias = Callable[[Input, Place], str]
"""-> ARN, or ANYTHING."""
Resources: TypeAlias = Callable[[Input, Place], Iterator[str]]
Conditions: TypeAlias = Callable[[Input, Place], Iterator[tuple[str, Value]]]
"""-> the service's own condition keys and the request's tags; those with no value are left out."""


@dataclass(frozen=True, slots=True)
class Also:
    """A further action that an operation asks for, once for each of its resources."""

    action: str
    resources: Resources
    conditions: Conditions | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What an operation asks permission for."""

    action: str
    resource: Resource
    conditions: Conditions | None = None
    also: tuple[Also, ...] = ()


class Ask(NamedTuple):
    """One permission that a call needs."""

    action: str
    resource: str
    keys: Mapping[str, Value]


def asks(rule: Rule, given: Input, place: Place) -> Iterator[Ask]:
    """Every permission a call needs, the operation's own first."""
    yield Ask(rule.action, rule.resource(given, place), _keys(rule.conditions, given, place))
    for also in rule.also:
        for resource in also.resources(given, place):
            yield Ask(also.action, resource, _keys(also.conditions, given, place))


def _keys(conditions: Conditions | None, given: Input, place: Place) -> Mapping[str, Value]:
    return dict(conditions(given, place)) if conditions else {}


def own(arn: str) -> str:
    """An ARN as policies name what squib has: in the one partition that there is. Handlers take names of any
    partition for the same thing, and what a policy denies must not be had by spelling it otherwise."""
    head, partition, rest = (*arn.split(":", 2), "", "")[:3]
    return f"arn:aws:{rest}" if head == "arn" and (not partition or partition.startswith("aws")) else arn


def anything(given: Input, place: Place) -> str:
    """For actions that name no resource."""
    return ANYTHING


def tag_keys(tags: Mapping[str, str] | None) -> Iterator[tuple[str, Value]]:
    """`aws:RequestTag/...` and `aws:TagKeys` of tags to be set."""
    if tags:
        yield "aws:TagKeys", tuple(tags)
        for name, value in tags.items():
            yield f"aws:RequestTag/{name}", value


def request_tags(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    """Of an input whose `Tags` is a map."""
    return tag_keys(given.get("Tags") or given.get("tags"))


def removed_tags(given: Input, place: Place) -> Iterator[tuple[str, Value]]:
    """Of an input that names the tags to remove."""
    keys = given.get("TagKeys") or given.get("tagKeys")
    if keys:
        yield "aws:TagKeys", tuple(keys)
