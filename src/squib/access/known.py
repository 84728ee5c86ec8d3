"""What the table of actions must know of stored things to name resources and condition keys."""

from collections.abc import Sequence

from squib.model.alias import qualified_key
from squib.model.arn import parse_function_arn
from squib.model.event_source import EVENT_SOURCE_MAPPINGS
from squib.model.function_url import FUNCTION_URLS
from squib.model.item import ItemKey
from squib.model.queue import QUEUES, parse_queue_arn
from squib.model.units import AccountId, Region
from squib.store.base import Store
from squib.store.identities import Identities


class StoredThings:
    """Reads names and settings from memory. On the event loop only."""

    def __init__(self, store: Store, identities: Identities) -> None:
        self._identities = identities
        self._urls = store.collection(FUNCTION_URLS)
        self._mappings = store.collection(EVENT_SOURCE_MAPPINGS)
        self._queues = store.collection(QUEUES)

    def iam_arn(self, account_id: AccountId, kind: str, name: str) -> str | None:
        """Of a `user`, `role` or `group`; None when there is none of that name."""
        match kind:
            case "user":
                user = self._identities.user(account_id, name)
                return None if user is None else user.arn
            case "role":
                role = self._identities.role(account_id, name)
                return None if role is None else role.arn
            case _:
                group = self._identities.group(account_id, name)
                return None if group is None else group.arn

    def mapping_function_arn(self, account_id: AccountId, region: Region, uuid: str) -> str | None:
        """The function of an event source mapping."""
        mapping = self._mappings.peek(ItemKey(account_id, region, uuid))
        return None if mapping is None else mapping.function.arn(mapping.qualifier)

    def url_auth_type(self, function_arn: str) -> str | None:
        """Of the function URL of a function or alias."""
        function = parse_function_arn(function_arn)
        if function is None:
            return None
        key = function.key
        name = (
            ItemKey(key.account_id, key.region, key.name)
            if function.qualifier is None
            else qualified_key(key, function.qualifier)
        )
        url = self._urls.peek(name)
        return None if url is None else url.auth_type

    def dead_letter_sources(self, queue_arn: str) -> Sequence[str]:
        """The queues whose dead letters go to a queue: of its account and region, all of them."""
        target = parse_queue_arn(queue_arn)
        if target is None:
            return ()
        queues = self._queues.page(target.account_id, target.region)
        return [queue.key.arn for queue in queues if queue.redrive and queue.redrive.target == target]
