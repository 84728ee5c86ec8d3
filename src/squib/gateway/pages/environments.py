"""`/_squib/environments`: the execution environments of an account's functions, as they are now."""

from collections.abc import Callable, Sequence
from typing import Final

from squib.environment.view import EnvironmentView
from squib.gateway.pages.signed import Reply, json_reply
from squib.model.operation import RawRequest
from squib.model.units import AccountId

PATH: Final = "/_squib/environments"


class EnvironmentsPage:
    """Answers in the order in which they were started."""

    def __init__(self, snapshot: Callable[[], Sequence[EnvironmentView]]) -> None:
        """`snapshot` of the pool."""
        self._snapshot = snapshot

    async def answer(self, request: RawRequest, account_id: AccountId) -> Reply:
        """See `signed.SignedPage`."""
        own = [one for one in self._snapshot() if one.function_arn.split(":")[4] == account_id]
        return json_reply(200, {"environments": own})
