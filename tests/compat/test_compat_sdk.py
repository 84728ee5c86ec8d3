"""Every waiter and every paginator of the AWS SDK's Lambda client, on what squib has built."""

import json
from collections.abc import Mapping
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest

from compat.scenarios.page import built_operations
from compat.scenarios.scene import CODE
from harness.functions import ROLE
from harness.squib import PYTHON, Squib, unique_name

REGION = "eu-north-1"
CLIENT: Any = boto3.session.Session().client(
    "lambda", region_name=REGION, aws_access_key_id="-", aws_secret_access_key="-"
)
PAGINATORS = [
    operation
    for operation in CLIENT.meta.service_model.operation_names
    if CLIENT.can_paginate(botocore.xform_name(operation)) and operation in built_operations()
]
FAST = {"Delay": 0.05, "MaxAttempts": 400}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(squib: Squib) -> Any:
    return squib.client("lambda", REGION)


def create(client: Any, **given: Any) -> str:
    name = unique_name("sdk")
    code = {"ZipFile": CODE}
    parameters = {"Runtime": PYTHON, "Handler": "index.handler", "Role": ROLE, "Code": code, **given}
    client.create_function(FunctionName=name, **parameters)
    return name


@pytest.fixture(scope="module")
def listed(client: Any) -> Mapping[str, Mapping[str, Any]]:
    """What ListX needs to list three things of each kind at least."""
    name = create(client, Publish=True)
    settle(client, name)
    for number in ("2", "3"):
        client.update_function_configuration(FunctionName=name, Description=number)
        settle(client, name)
        assert client.publish_version(FunctionName=name)["Version"] == number
    for alias in ("a", "b", "c"):
        client.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    for qualifier in ("1", "2", "3"):
        given = {"FunctionName": name, "Qualifier": qualifier}
        client.put_function_event_invoke_config(**given, MaximumRetryAttempts=0)
    for layer in (name, name, name, unique_name("layer"), unique_name("layer")):
        client.publish_layer_version(LayerName=layer, Content={"ZipFile": CODE})
    profile = f"arn:aws:signer:{REGION}:000000000000:/signing-profiles/test"
    publishers = {"SigningProfileVersionArns": [profile]}
    for _ in range(3):
        made = client.create_code_signing_config(AllowedPublishers=publishers)
        config = {"CodeSigningConfigArn": made["CodeSigningConfig"]["CodeSigningConfigArn"]}
    for _ in range(3):
        client.put_function_code_signing_config(FunctionName=create(client), **config)
    return {"ListLayerVersions": {"LayerName": name}, "ListFunctionsByCodeSigningConfig": config} | {
        f"List{kind}": {"FunctionName": name}
        for kind in (
            "Aliases",
            "VersionsByFunction",
            "FunctionEventInvokeConfigs",
            "FunctionUrlConfigs",
            "ProvisionedConcurrencyConfigs",
        )
    }


@pytest.mark.parametrize("waiter", sorted(CLIENT.waiter_names))
def test_waiter_ends_when_what_it_waits_for_is_so(client: Any, waiter: str) -> None:
    name = create(client, Publish=True)
    of_version = {"Qualifier": "1"} if waiter == "published_version_active" else {}
    client.get_waiter(waiter).wait(FunctionName=name, **of_version, WaiterConfig=FAST)
    settled = client.get_function(FunctionName=name, **of_version)["Configuration"]
    if waiter != "function_exists":
        assert settled["State"] == "Active"
        assert settled["LastUpdateStatus"] == "Successful"
    client.delete_function(FunctionName=name)


def test_waiter_fails_for_a_function_that_cannot_run(client: Any) -> None:
    name = create(client, Runtime="java21")
    with pytest.raises(botocore.exceptions.WaiterError, match="terminal failure"):
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=FAST)
    client.delete_function(FunctionName=name)


NOT_LISTED = (
    "ListEventSourceMappings",
    "ListFunctionUrlConfigs",
    "ListProvisionedConcurrencyConfigs",
)
"""Of these nothing can be made yet."""


@pytest.mark.parametrize("operation", PAGINATORS)
def test_paginator_gives_each_item_once(
    client: Any, listed: Mapping[str, Mapping[str, Any]], operation: str
) -> None:
    given = listed.get(operation, {})
    method = botocore.xform_name(operation)
    paginator = client.get_paginator(method)
    (key,) = (member.parsed["value"] for member in paginator.result_keys)
    whole = getattr(client, method)(**given)[key]
    pages = list(paginator.paginate(**given, PaginationConfig={"PageSize": 1}))
    assert [item for page in pages for item in page[key]] == whole
    assert all(len(page[key]) <= 1 for page in pages)
    assert len(whole) >= 3 or operation in NOT_LISTED


def settle(client: Any, name: str) -> None:
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=FAST)


MODEL = CLIENT.meta.service_model
REFUSED = sorted({*MODEL.operation_names} - built_operations())


@pytest.mark.parametrize("operation", REFUSED)
def test_an_operation_that_is_not_built_is_refused_by_name(squib: Squib, operation: str) -> None:
    shape = MODEL.operation_model(operation).input_shape
    given = {name: placeholder(shape.members[name]) for name in shape.required_members}
    unchecked = botocore.config.Config(parameter_validation=False)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(squib.client("lambda", REGION, config=unchecked), botocore.xform_name(operation))(**given)
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert answer["Error"] == {
        "Code": "NotImplementedException",
        "Message": f"squib does not implement lambda:{operation} yet.",
    }


def placeholder(shape: Any) -> Any:
    """A value that can be sent for a member."""
    values = {"structure": {}, "map": {}, "list": [], "boolean": True, "blob": b"", "timestamp": 0}
    return values.get(shape.type_name, "1" if shape.type_name == "string" else 1)


def test_a_whole_resource_policy_is_put_read_and_deleted(client: Any) -> None:
    name = create(client)
    arn = client.get_function_configuration(FunctionName=name)["FunctionArn"]
    statement = {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    put = client.put_resource_policy(ResourceArn=arn, Policy=policy)
    got = client.get_resource_policy(ResourceArn=arn)
    assert json.loads(got["Policy"])["Statement"] == [statement]
    assert got["RevisionId"] == put["RevisionId"]
    client.delete_resource_policy(ResourceArn=arn)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_resource_policy(ResourceArn=arn)
    client.delete_function(FunctionName=name)


def test_runtimes_are_updated_automatically(client: Any) -> None:
    name = create(client)
    told = client.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="Auto")
    assert told["UpdateRuntimeOn"] == "Auto"
    got = client.get_runtime_management_config(FunctionName=name)
    assert (got["UpdateRuntimeOn"], got["FunctionArn"]) == ("Auto", told["FunctionArn"])
    client.delete_function(FunctionName=name)
