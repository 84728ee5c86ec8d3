"""Versions and aliases with the AWS SDK: invoked by number, by alias and by weight, listed, deleted."""

import json
from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.functions import ROLE, zip_of
from harness.squib import PYTHON, Squib, unique_name

WHICH = """
import os
def handler(event, context):
    return [
        {generation},
        context.function_version,
        os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        context.log_stream_name,
        context.invoked_function_arn,
    ]
"""


def package(generation: int) -> bytes:
    return zip_of({"app.py": WHICH.replace("{generation}", str(generation))})


def two_versions(squib: Squib) -> tuple[Any, str]:
    """A client and a function with versions 1 and 2, and `$LATEST` beyond them."""
    client, name = squib.client(), unique_name()
    client.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Handler="app.handler",
        Role=ROLE,
        Code={"ZipFile": package(1)},
        Publish=True,
    )
    client.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 0.05}
    )
    for generation in (2, 3):
        client.update_function_code(FunctionName=name, ZipFile=package(generation))
        client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
        if generation == 2:
            published = client.publish_version(FunctionName=name, Description="the second")
            assert (published["Version"], published["State"]) == ("2", "Active")
    return client, name


def invoke(client: Any, name: str, **given: Any) -> tuple[str, list[Any]]:
    answer = client.invoke(FunctionName=name, **given)
    assert answer["StatusCode"] == 200
    return answer["ExecutedVersion"], json.loads(answer["Payload"].read())


def test_each_version_runs_its_own_code_and_knows_its_number_and_how_it_was_called(squib: Squib) -> None:
    client, name = two_versions(squib)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    arn = client.get_function_configuration(FunctionName=name)["FunctionArn"]
    for given, version, generation in (
        ({}, "$LATEST", 3),
        ({"Qualifier": "1"}, "1", 1),
        ({"Qualifier": "2"}, "2", 2),
        ({"Qualifier": "live"}, "2", 2),
    ):
        executed, (made, of_context, of_variable, stream, invoked_arn) = invoke(client, name, **given)
        assert executed == of_context == of_variable == version
        assert made == generation
        assert f"/[{version}]" in stream
        assert invoked_arn == (f"{arn}:{given['Qualifier']}" if given else arn)
    assert invoke(client, f"{arn}:live")[0] == "2"
    assert invoke(client, f"{arn}:1")[0] == "1"
    with pytest.raises(ClientError) as missing:
        client.invoke(FunctionName=name, Qualifier="9")
    assert missing.value.response["Error"]["Message"] == f"Function not found: {arn}:9"


def test_a_weighted_alias_shares_its_invocations_and_moves_when_it_is_updated(squib: Squib) -> None:
    client, name = two_versions(squib)
    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1", RoutingConfig=weights)
    seen = Counter(invoke(client, name, Qualifier="live")[0] for _ in range(60))
    assert set(seen) == {"1", "2"}  # both, but for one run in 2 ** 59
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2", RoutingConfig={})
    assert {invoke(client, name, Qualifier="live")[0] for _ in range(5)} == {"2"}


def test_versions_and_aliases_are_listed_in_pages_and_deleted(squib: Squib) -> None:
    client, name = two_versions(squib)
    pages = client.get_paginator("list_versions_by_function").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    assert [one["Version"] for page in pages for one in page["Versions"]] == ["$LATEST", "1", "2"]
    for alias in ("a", "b", "c"):
        client.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    aliases = client.get_paginator("list_aliases").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 2}
    )
    assert [one["Name"] for page in aliases for one in page["Aliases"]] == ["a", "b", "c"]
    with pytest.raises(client.exceptions.ResourceConflictException) as used:
        client.delete_function(FunctionName=name, Qualifier="1")
    assert "[a, b, c]" in used.value.response["Error"]["Message"]
    for alias in ("a", "b", "c"):
        client.delete_alias(FunctionName=name, Name=alias)
    assert invoke(client, name, Qualifier="1")[0] == "1"
    client.delete_function(FunctionName=name, Qualifier="1")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName=name, Qualifier="1")
    client.delete_function(FunctionName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.invoke(FunctionName=name, Qualifier="2")
