"""`/_squib/denials/REQUEST-ID`: why a call was denied, for the caller's account and for the resource's."""

from typing import Final

from squib.access.denials import Denials
from squib.access.permissions import account_of
from squib.gateway.pages.signed import Reply, json_reply
from squib.model.operation import RawRequest
from squib.model.units import AccountId, RequestId

PREFIX: Final = "/_squib/denials/"


class DenialsPage:
    """Answers the denial itself; 404 for a call that was not denied, or long ago, or elsewhere."""

    def __init__(self, denials: Denials) -> None:
        self._denials = denials

    async def answer(self, request: RawRequest, account_id: AccountId) -> Reply:
        """See `signed.SignedPage`."""
        denial = self._denials.find(RequestId(request.path.removeprefix(PREFIX)))
        if denial is None or account_id not in (denial.account_id, account_of(denial.resource)):
            return json_reply(404, {"message": "no denial of that request is remembered"})
        return json_reply(200, denial)
