"""GetCallerIdentity says who signed, whoever it is."""

import asyncio
from pathlib import Path

import pytest

from harness.iam import opened
from squib.model.identity import Principal, role_session_principal, root_principal
from squib.model.units import AccountId

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
def test_the_caller_is_named(tmp_path: Path, principal: Principal, expected: dict[str, str]) -> None:
    async def main() -> None:
        async with opened(tmp_path) as world:
            assert await world.call("GetCallerIdentity", principal) == expected

    asyncio.run(main())
