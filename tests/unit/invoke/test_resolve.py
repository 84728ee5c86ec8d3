"""From names to versions: numbers, aliases, weights, states."""

import asyncio
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.environments import ACCOUNT, REGION, function
from squib.invoke.resolve import Resolver, Target
from squib.model.alias import Alias, qualified_key, version_for
from squib.model.errors import ApiError, ResourceConflict, ResourceNotFound
from squib.model.function import FunctionRecord, State, version_key
from squib.store.collections import MemoryCollection

KEY = function().key
ARN = KEY.arn()


def alias(name: str, version: str, weights: Mapping[str, float] | None = None) -> Alias:
    return Alias(function=KEY, name=name, function_version=version, weights=weights or {}, revision_id="r")


VERSIONS = (
    function(version="1", content_id="one"),
    function(version="2", content_id="two"),
    function(version="3", content_id="three", state=State.PENDING),
    function(version="4", content_id="four", state=State.FAILED),
)
ALIASES = (
    alias("live", "1", {"2": 0.25}),
    alias("beta", "2"),
    alias("head", "$LATEST"),
    alias("soon", "3"),
    alias("lost", "9"),
)


def resolve(name: str, qualifier: str | None = None, *, draws: Iterable[float] = ()) -> Target:
    async def main() -> Target:
        loop = asyncio.get_running_loop()
        record = FunctionRecord(declared=function(content_id="new"), active=function(content_id="old"))
        versions = ((version_key(KEY, version.version), version) for version in VERSIONS)
        aliases = ((qualified_key(KEY, one.name), one) for one in ALIASES)
        rest = iter(draws)
        resolver = Resolver(
            MemoryCollection(loop, [(KEY, record)]),
            MemoryCollection(loop, versions),
            MemoryCollection(loop, aliases),
            lambda: next(rest),
        )
        return resolver.resolve(name, qualifier, account_id=ACCOUNT, region=REGION)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("name", "qualifier", "content_id", "invoked_arn"),
    [
        ("f", None, "old", ARN),
        ("f", "$LATEST", "old", f"{ARN}:$LATEST"),
        ("f", "1", "one", f"{ARN}:1"),
        ("f:2", None, "two", f"{ARN}:2"),
        (f"{ARN}:2", "2", "two", f"{ARN}:2"),
        ("f", "beta", "two", f"{ARN}:beta"),
        (f"{ARN}:beta", None, "two", f"{ARN}:beta"),
        ("f", "head", "old", f"{ARN}:head"),
    ],
)
def test_a_name_means_one_version_and_is_told_as_it_was_called(
    name: str, qualifier: str | None, content_id: str, invoked_arn: str
) -> None:
    target = resolve(name, qualifier)
    assert (target.function.content_id, target.invoked_arn) == (content_id, invoked_arn)


@pytest.mark.parametrize(("draw", "version"), [(0.0, "2"), (0.2499, "2"), (0.25, "1"), (0.9999, "1")])
def test_each_call_of_a_weighted_alias_draws_its_version(draw: float, version: str) -> None:
    target = resolve("f", "live", draws=[draw])
    assert (target.function.version, target.invoked_arn) == (version, f"{ARN}:live")


@given(st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_a_weight_is_the_share_of_draws_that_go_to_its_version(weight: float, draw: float) -> None:
    assert version_for(alias("a", "1", {"2": weight}), draw=draw) == ("2" if draw < weight else "1")


@pytest.mark.parametrize(
    ("qualifier", "error", "message"),
    [
        ("7", ResourceNotFound, f"Function not found: {ARN}:7"),
        ("01", ResourceNotFound, f"Function not found: {ARN}:01"),
        ("none", ResourceNotFound, f"Function not found: {ARN}:none"),
        ("lost", ResourceNotFound, f"Function not found: {ARN}:lost"),
        ("3", ResourceConflict, "following state: Pending"),
        ("soon", ResourceConflict, "following state: Pending"),
        ("4", ResourceConflict, "following state: Failed"),
    ],
)
def test_what_is_not_there_or_not_ready_is_refused(
    qualifier: str, error: type[ApiError], message: str
) -> None:
    with pytest.raises(error, match=message.replace("$", r"\$")):
        resolve("f", qualifier)


def test_versions_sort_by_number() -> None:
    keys = [version_key(KEY, str(number)) for number in (1, 2, 9, 10, 11, 100, 1000000)]
    assert sorted(keys) == keys
