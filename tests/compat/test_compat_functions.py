"""Declaring functions with the AWS SDK: create, read, update, list, delete, waiters, every form of a name."""

import base64
import hashlib
import urllib.request
from typing import Any

import botocore.config
import pytest
from botocore.exceptions import ClientError

from harness.functions import ROLE, zip_of
from harness.squib import PYTHON, Squib, unique_name

ECHO = "def handler(event, context):\n    return event\n"
REGION = "eu-west-1"


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str, str]:
    """Status, code and message of what a client got."""
    answer = error.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def create_parameters(name: str, **changes: Any) -> dict[str, Any]:
    package = {"Code": {"ZipFile": zip_of({"app.py": ECHO})}}
    return {
        "FunctionName": name,
        "Runtime": PYTHON,
        "Handler": "app.handler",
        "Role": ROLE,
        **package,
        **changes,
    }


def test_life_of_a_function(squib: Squib) -> None:
    client, name = squib.client(), unique_name()
    package = zip_of({"app.py": ECHO})
    created = client.create_function(
        **create_parameters(name, Code={"ZipFile": package}, Description="first")
    )
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert (created["State"], created["StateReasonCode"]) == ("Pending", "Creating")
    assert "LastUpdateStatus" not in created
    assert created["FunctionArn"] == f"arn:aws:lambda:{REGION}:000000000000:function:{name}"
    assert created["CodeSize"] == len(package)
    assert created["CodeSha256"] == base64.b64encode(hashlib.sha256(package).digest()).decode()
    assert (created["MemorySize"], created["Timeout"], created["Version"]) == (128, 3, "$LATEST")
    assert created["EphemeralStorage"] == {"Size": 512}
    assert created["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"}

    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    read = client.get_function(FunctionName=name)
    assert (read["Configuration"]["State"], read["Configuration"]["LastUpdateStatus"]) == (
        "Active",
        "Successful",
    )
    assert "StateReason" not in read["Configuration"]
    with urllib.request.urlopen(read["Code"]["Location"], timeout=10) as download:
        assert download.read() == package

    updated = client.update_function_configuration(
        FunctionName=name, Description="second", MemorySize=256, Environment={"Variables": {"COLOUR": "grün"}}
    )
    assert updated["RevisionId"] != read["Configuration"]["RevisionId"]
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    configuration = client.get_function_configuration(FunctionName=name)
    assert configuration["Description"] == "second"
    assert configuration["MemorySize"] == 256
    assert configuration["Environment"] == {"Variables": {"COLOUR": "grün"}}

    other = zip_of({"app.py": "def handler(event, context):\n    return 'new'\n"})
    client.update_function_code(FunctionName=name, ZipFile=other)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 0.05})
    assert client.invoke(FunctionName=name)["Payload"].read() == b'"new"'

    deleted = client.delete_function(FunctionName=name)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] in (200, 204)
    with pytest.raises(ClientError) as gone:
        client.get_function(FunctionName=name)
    arn = f"arn:aws:lambda:{REGION}:000000000000:function:{name}"
    assert refusal(gone) == (404, "ResourceNotFoundException", f"Function not found: {arn}")


def test_function_exists_waiter_and_lists_in_pages(squib: Squib) -> None:
    client = squib.client(region="ap-southeast-2")
    names = sorted(unique_name("page") for _ in range(5))
    for name in names:
        client.create_function(**create_parameters(name))
    client.get_waiter("function_exists").wait(FunctionName=names[-1], WaiterConfig={"Delay": 0.05})
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    assert [len(page["Functions"]) for page in pages] == [2, 2, 1]
    assert sorted(row["FunctionName"] for page in pages for row in page["Functions"]) == names


def test_every_form_of_a_name_reaches_the_function(squib: Squib) -> None:
    function = squib.deploy(ECHO)
    forms = [
        function.name,
        f"000000000000:function:{function.name}",
        f"function:{function.name}",
        function.arn,
    ]
    for form in [*forms, f"{function.arn}:$LATEST", f"{function.name}:$LATEST"]:
        assert function.client.get_function_configuration(FunctionName=form)["FunctionName"] == function.name
        assert function.invoke(form, FunctionName=form).value == form


def test_same_name_in_several_regions_is_several_functions(squib: Squib) -> None:
    name = unique_name()
    regions = ("us-east-1", "eu-central-1", "sa-east-1")
    source = "import os\ndef handler(event, context):\n    return os.environ['AWS_REGION']\n"
    functions = {region: squib.deploy(source, name=name, region=region) for region in regions}
    assert {region: function.invoke().value for region, function in functions.items()} == {
        region: region for region in regions
    }
    functions["us-east-1"].delete()
    assert functions["sa-east-1"].invoke().value == "sa-east-1"


def test_creating_twice_is_a_conflict(squib: Squib) -> None:
    function = squib.create(ECHO)
    with pytest.raises(ClientError) as conflict:
        function.client.create_function(**create_parameters(function.name))
    assert refusal(conflict) == (
        409,
        "ResourceConflictException",
        f"Function already exist: {function.name}",
    )


@pytest.mark.parametrize("operation", ["get_function", "delete_function", "invoke"])
def test_what_is_not_there_is_not_found(squib: Squib, operation: str) -> None:
    with pytest.raises(ClientError) as missing:
        getattr(squib.client(), operation)(FunctionName="nowhere")
    status, code, message = refusal(missing)
    assert (status, code) == (404, "ResourceNotFoundException")
    assert message.startswith(f"Function not found: arn:aws:lambda:{REGION}:000000000000:function:nowhere")


def test_a_stale_revision_is_refused(squib: Squib) -> None:
    function = squib.deploy(ECHO)
    with pytest.raises(ClientError) as stale:
        function.client.update_function_configuration(
            FunctionName=function.name, Description="x", RevisionId="11111111-2222-3333-4444-555555555555"
        )
    assert refusal(stale)[:2] == (412, "PreconditionFailedException")


@pytest.mark.parametrize(
    ("changes", "code", "part"),
    [
        ({"MemorySize": 127}, "ValidationException", "greater than or equal to 128"),
        ({"Timeout": 901}, "ValidationException", "900"),
        ({"Runtime": "python2.7"}, "InvalidParameterValueException", "python2.7"),
        ({"Runtime": "cobol85"}, "InvalidParameterValueException", "cobol85"),
        ({"FunctionName": "a b"}, "ValidationException", "a b"),
        ({"Role": "nobody"}, "ValidationException", "nobody"),
        ({"Code": {}}, "InvalidParameterValueException", "function code"),
        (
            {"Environment": {"Variables": {"AWS_REGION": "x"}}},
            "InvalidParameterValueException",
            "Reserved keys used in this request: AWS_REGION",
        ),
        ({"Environment": {"Variables": {"BIG": "x" * 4097}}}, "InvalidParameterValueException", "4KB limit"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_parameters_are_refused_in_awss_words(
    squib: Squib, changes: dict[str, Any], code: str, part: str
) -> None:
    config = botocore.config.Config(parameter_validation=False)
    client = squib.client(config=config)
    with pytest.raises(ClientError) as refused:
        client.create_function(**create_parameters(unique_name(), **changes))
    status, got, message = refusal(refused)
    assert (status, got) == (400, code)
    assert part in message


KEY = "arn:aws:kms:eu-west-1:000000000000:key/0"


def test_parameters_without_effect_are_refused_not_stored(squib: Squib) -> None:
    with pytest.raises(ClientError) as refused:
        squib.client().create_function(**create_parameters(unique_name(), KMSKeyArn=KEY))
    status, _, message = refusal(refused)
    assert status == 501
    assert "KMSKeyArn" in message


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("lambda", "list_capacity_providers", {}),
        ("lambda", "list_durable_executions_by_function", {"FunctionName": "f"}),
        ("logs", "describe_queries", {}),
    ],
)
def test_what_is_not_built_says_so_by_name(
    squib: Squib, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    client = squib.client(service)
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**arguments)
    status, code, message = refusal(refused)
    assert (status, code) == (501, "NotImplementedException")
    assert client.meta.method_to_api_mapping[operation] in message


def test_tags_are_kept(squib: Squib) -> None:
    function = squib.deploy(ECHO, Tags={"team": "a"})
    function.client.tag_resource(Resource=function.arn, Tags={"stage": "test"})
    assert function.client.list_tags(Resource=function.arn)["Tags"] == {"team": "a", "stage": "test"}
    function.client.untag_resource(Resource=function.arn, TagKeys=["team"])
    assert function.client.list_tags(Resource=function.arn)["Tags"] == {"stage": "test"}
