"""A function `f` with version 1 and an alias `live` to it, for tests of what hangs on them."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lambda_harness import ACCOUNT, REGION, ControlPlane

from squib.control_plane.lambda_ import LambdaOptions
from squib.model.alias import ALIASES, Alias, qualified_key
from squib.model.errors import ApiError
from squib.model.function import FUNCTIONS, VERSIONS, FunctionKey, version_key
from squib.store.base import Transaction

F = FunctionKey(ACCOUNT, REGION, "f")
ARN = F.arn()


def with_function(
    data_dir: Path, use: Callable[[ControlPlane], Awaitable[None]], options: LambdaOptions | None = None
) -> None:
    """Runs `use` on a control plane where `f` is active, and has a version 1 and an alias `live`."""

    async def main() -> None:
        async with ControlPlane(data_dir, options) as plane:
            await plane.create()
            await plane.activate()
            await plane.store.write(_publish)
            await use(plane)

    asyncio.run(main())


def _publish(transaction: Transaction) -> None:
    record = transaction.get(FUNCTIONS, F)
    assert record is not None
    version = msgspec.structs.replace(record.declared, version="1", revision_id="revision of 1")
    transaction.put(VERSIONS, version_key(F, "1"), version)
    alias = Alias(function=F, name="live", function_version="1", revision_id="revision of live")
    transaction.put(ALIASES, qualified_key(F, "live"), alias)


async def refused(call: Awaitable[object]) -> tuple[int, str, str]:
    """Status, code and message of a refusal."""
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value.status, caught.value.code, caught.value.message


def without(output: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """An output without some of its members."""
    return {name: value for name, value in output.items() if name not in names}
