"""Services elsewhere: each account with its own key, and no account with another's."""

import asyncio

import pytest

from harness.upstream import UpstreamServices
from squib.invoke.upstream import Upstream, UpstreamError, UpstreamOptions
from squib.model.units import AccountId, Region

ONE, OTHER, THIRD = (AccountId(digit * 12) for digit in "123")
REGION = Region("eu-west-1")


def test_calls_are_signed_with_the_key_of_the_account_they_are_made_for() -> None:
    async def story(upstream: Upstream) -> None:
        for account_id in (ONE, OTHER, ONE):
            await upstream.call(account_id, "sns", REGION, "publish", TopicArn="t", Message="m")
        assert (upstream.has(ONE, "sns"), upstream.has(THIRD, "sns")) == (True, False)
        assert (upstream.has_any("sns"), upstream.has_any("sqs")) == (True, False)
        with pytest.raises(UpstreamError, match=f"not told of any sns for account {THIRD}"):
            await upstream.call(THIRD, "sns", REGION, "publish", TopicArn="t", Message="m")
        with pytest.raises(UpstreamError, match=f"not told of any sqs for account {ONE}"):
            await upstream.call(ONE, "sqs", REGION, "list_queues")

    with UpstreamServices() as services:
        keys = {
            account_id: UpstreamOptions(
                endpoint=services.url, access_key_id=f"key-{account_id}", secret_access_key="secret"
            )
            for account_id in (ONE, OTHER)
        }
        asyncio.run(story(Upstream({account_id: {"sns": key} for account_id, key in keys.items()})))
        used = [one.partition("Credential=")[2].partition("/")[0] for one in services.signatures]
        assert used == [f"key-{account_id}" for account_id in (ONE, OTHER, ONE)]
