"""GetCallerIdentity says who signed, whoever it is."""

import asyncio

import pytest

from squib.control_plane import registry
from squib.control_plane.sts import StsService
from squib.model.identity import Principal, role_session_principal, root_principal
from squib.model.operation import AuthorizedCall
from squib.model.units import AccountId, EpochMs, Region, RequestId

ROOT = root_principal(AccountId("000000000000"))
SESSION = role_session_principal(
    role_arn="arn:aws:iam::111111111111:role/path/reader", session_name="fn", role_id="AROAEXAMPLE"
)


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        (
            ROOT,
            {"UserId": "000000000000", "Account": "000000000000", "Arn": "arn:aws:iam::000000000000:root"},
        ),
        (
            SESSION,
            {
                "UserId": "AROAEXAMPLE:fn",
                "Account": "111111111111",
                "Arn": "arn:aws:sts::111111111111:assumed-role/reader/fn",
            },
        ),
    ],
)
def test_the_caller_is_named(principal: Principal, expected: dict[str, str]) -> None:
    handler = registry.table({"sts": StsService()})["sts", "GetCallerIdentity"]
    call = AuthorizedCall(
        service="sts",
        operation="GetCallerIdentity",
        input={},
        principal=principal,
        access_key_id="AKIA",
        account_id=AccountId("222222222222"),
        region=Region("us-east-1"),
        request_id=RequestId("0"),
        received_at_ms=EpochMs(0),
        base_url="http://127.0.0.1:1",
    )

    async def main() -> None:
        assert (await handler(call)).output == expected

    asyncio.run(main())
