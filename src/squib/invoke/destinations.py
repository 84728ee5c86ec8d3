"""Deliveries: a record or an event to where its function's owner wants it, with the execution role's rights.

Queues and functions of this squib are reached inside the process; topics, event buses and buckets are in
the services that it was told of.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import msgspec

from squib.access.permissions import Judgement
from squib.clock import Clock, Entropy
from squib.invoke.records import (
    DETAIL_TYPE,
    bucket_key,
    invocation_record,
    is_success,
    letter_attributes,
)
from squib.invoke.upstream import Upstream, UpstreamError
from squib.model.arn import parse_function_arn
from squib.model.async_event import AcceptedEvent, Ending, Progress, TargetKind
from squib.model.errors import ApiError, PlatformError
from squib.model.function import FUNCTIONS, FunctionKey
from squib.model.limits import MAX_ASYNC_PAYLOAD_BYTES
from squib.model.message_digest import message_bytes
from squib.model.queue import QUEUES, Attributes, NewMessage, parse_queue_arn
from squib.model.units import Region
from squib.scheduler.lineage import advance
from squib.store.base import Store

_ARN: Final = re.compile(r"arn:aws[\w-]*:([a-z0-9-]+):([a-z0-9-]*):\d{0,12}:(.+)", re.ASCII)
_ACTIONS: Final = {
    "sqs": "sqs:SendMessage",
    "sns": "sns:Publish",
    "lambda": "lambda:InvokeFunction",
    "events": "events:PutEvents",
    "s3": "s3:PutObject",
}


class DeliveryFailed(Exception):
    """A target was not reached; its text says why."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to deliver to one target, with the rights of a function's execution role."""

    function: FunctionKey
    qualified_arn: str
    role_arn: str
    arn: str
    """The target's."""
    body: bytes
    object_name: str
    """What it is called in a bucket."""
    trace_id: str | None
    attributes: Attributes = {}
    """What goes beside it, where there is place for that."""
    is_success: bool = False


class Judge(Protocol):
    """`access.permissions.Permissions`, as far as it is used here."""

    def judge_role(
        self,
        role_arn: str,
        session_name: str,
        action: str,
        resource: str,
        *,
        source_function_arn: str | None = None,
    ) -> Judgement: ...


Accept: TypeAlias = Callable[[AcceptedEvent, bytes], "asyncio.Future[None]"]
"""Takes an event for a function; done when it is on disk."""


class Destinations:
    """Delivers. Owned by one event loop."""

    def __init__(
        self, store: Store, judge: Judge, upstream: Upstream, accept: Accept, clock: Clock, entropy: Entropy
    ) -> None:
        self._store = store
        self._judge = judge
        self._upstream = upstream
        self._accept = accept
        self._clock = clock
        self._entropy = entropy

    async def deliver(self, event: AcceptedEvent, payload: bytes, progress: Progress, ending: Ending) -> None:
        """Tells the first target of an ending. Raises DeliveryFailed; then it may be tried again."""
        target = ending.targets[0]
        is_letter = target.kind is TargetKind.DEAD_LETTER
        is_record = target.kind is TargetKind.DESTINATION
        await self._bring(
            Delivery(
                function=event.function,
                qualified_arn=event.qualified_arn,
                role_arn=ending.role_arn,
                arn=target.arn,
                body=invocation_record(event, payload, progress, ending) if is_record else payload,
                object_name=bucket_key(event, ending, self._entropy.request_id()),
                trace_id=event.trace_id or None,
                attributes=letter_attributes(event, ending) if is_letter else {},
                is_success=is_success(ending),
            )
        )

    async def _bring(self, delivery: Delivery) -> None:
        """Brings something to its target. Raises DeliveryFailed; then it may be tried again."""
        arn = delivery.arn
        found = _ARN.fullmatch(arn)
        service = "" if found is None else found[1]
        if found is None or service not in _ACTIONS:
            raise DeliveryFailed(f"{arn} is nothing that can be delivered to")
        region = Region(found[2]) or delivery.function.region
        resource = f"{arn}/{delivery.object_name}" if service == "s3" else arn
        caller = self._check(delivery, _ACTIONS[service], resource)
        try:
            match service:
                case "sqs":
                    await self._send(arn, delivery, caller)
                case "lambda":
                    await self._invoke(arn, delivery)
                case "sns":
                    await self._publish(region, arn, delivery)
                case "events":
                    await self._put_event(region, arn, delivery)
                case _:
                    await self._upstream.call(
                        delivery.function.account_id,
                        "s3",
                        region,
                        "put_object",
                        Bucket=found[3],
                        Key=delivery.object_name,
                        Body=delivery.body,
                    )
        except (ApiError, PlatformError, UpstreamError) as error:
            raise DeliveryFailed(str(error) or type(error).__name__) from error

    def _check(self, delivery: Delivery, action: str, resource: str) -> str:
        """The unique id of the role's session that may do this. Raises DeliveryFailed."""
        function, role_arn = delivery.function, delivery.role_arn
        judgement = self._judge.judge_role(
            role_arn, function.name, action, resource, source_function_arn=function.arn()
        )
        if not judgement.is_allowed:
            raise DeliveryFailed(f"{role_arn} is not authorized to perform {action} on {resource}")
        return judgement.request.context.single("aws:userid") or ""

    async def _send(self, arn: str, delivery: Delivery, sender_id: str) -> None:
        key = parse_queue_arn(arn)
        queue = None if key is None else self._store.memory.get(QUEUES, key)
        if key is None or queue is None:
            raise DeliveryFailed(f"the queue {arn} does not exist")
        if key.is_fifo:
            raise DeliveryFailed("a FIFO queue cannot be a destination")
        body = delivery.body.decode()
        size_bytes = message_bytes(body, delivery.attributes)
        if size_bytes > queue.max_message_bytes:
            raise DeliveryFailed(f"{size_bytes} bytes are too large for the queue {arn}")
        message = NewMessage(
            message_id=self._entropy.request_id(),
            body=body,
            sender_id=sender_id,
            attributes=delivery.attributes,
            trace_header=delivery.trace_id,
        )
        await self._store.queues.send(key, [message])

    async def _invoke(self, arn: str, delivery: Delivery) -> None:
        named = parse_function_arn(arn)
        if named is None or self._store.memory.get(FUNCTIONS, named.key) is None:
            raise DeliveryFailed(f"the function {arn} does not exist")
        if len(delivery.body) > MAX_ASYNC_PAYLOAD_BYTES:
            raise DeliveryFailed(f"{len(delivery.body)} bytes are too large for the function {arn}")
        step = advance(delivery.trace_id or "", named.key.arn())
        event = AcceptedEvent(
            request_id=self._entropy.request_id(),
            function=named.key,
            qualifier=named.qualifier,
            accepted_at_ms=self._clock.now_ms(),
            trace_id=step.header,
            is_recursive=step.is_recursive,
        )
        await asyncio.shield(self._accept(event, delivery.body))

    async def _publish(self, region: Region, arn: str, delivery: Delivery) -> None:
        attributes = {
            name: {"DataType": value.data_type, "StringValue": value.text}
            for name, value in delivery.attributes.items()
        }
        more = {"MessageAttributes": attributes} if attributes else {}
        account_id, message = delivery.function.account_id, delivery.body.decode()
        await self._upstream.call(account_id, "sns", region, "publish", TopicArn=arn, Message=message, **more)

    async def _put_event(self, region: Region, arn: str, delivery: Delivery) -> None:
        outcome = "Success" if delivery.is_success else "Failure"
        entry = {
            "Source": "lambda",
            "DetailType": DETAIL_TYPE.format(outcome),
            "Detail": delivery.body.decode(),
            "EventBusName": arn,
            "Resources": [arn, delivery.qualified_arn],
        }
        account_id = delivery.function.account_id
        answer = await self._upstream.call(account_id, "events", region, "put_events", Entries=[entry])
        if answer.get("FailedEntryCount"):
            refused = answer["Entries"][0]
            raise DeliveryFailed(f"{refused.get('ErrorCode')}: {refused.get('ErrorMessage')}")
