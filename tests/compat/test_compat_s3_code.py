"""Code and layers from S3: the endpoint that squib was given, what it refuses, and having none."""

from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from harness.functions import ROLE, Function, zip_of
from harness.machine import eventually
from harness.s3 import S3
from harness.squib import PYTHON, Squib, unique_name
from harness.users import User, everything, refused


def returning(value: str) -> bytes:
    return zip_of({"app.py": f"def handler(event, context):\n    return {value!r}\n"})


OBJECTS = {
    "code/first.zip": returning("first"),
    "code/folder/with space+plus.zip": returning("odd"),
    "code/first.zip?v2": returning("second"),
    "code/layer.zip": zip_of({"python/shared.py": "VALUE = 'from S3'\n"}),
    "code/broken.zip": b"no zip",
}
NO_BUCKET = (
    "Error occurred while GetObject. S3 Error Code: NoSuchBucket. "
    "S3 Error Message: The specified bucket does not exist"
)  # recorded from AWS, 2025
NO_KEY = (
    "Error occurred while GetObject. S3 Error Code: NoSuchKey. "
    "S3 Error Message: The specified key does not exist."
)  # recorded from AWS, 2025


@pytest.fixture(scope="module")
def with_s3(s3: S3) -> Iterator[Squib]:
    """A squib that signs what it asks S3 for."""
    s3.objects |= OBJECTS
    s3.denied.add("code/secret.zip")
    keys = {"SQUIB_S3_ACCESS_KEY_ID": "AKIDOFS3", "SQUIB_S3_SECRET_ACCESS_KEY": "secret"}
    with Squib("--s3-endpoint", s3.url, variables=keys) as squib:
        yield squib


def create(squib: Squib, key: str, bucket: str = "code", **more: str) -> Function:
    client, name = squib.client(), unique_name("s3")
    told = client.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Handler="app.handler",
        Role=ROLE,
        Code={"S3Bucket": bucket, "S3Key": key, **more},
    )
    return Function(client, name, told["FunctionArn"])


def test_functions_are_created_and_updated_from_objects(with_s3: Squib, s3: S3) -> None:
    function = create(with_s3, "first.zip")
    function.wait_active()
    assert function.invoke().value == "first"
    assert "Credential=AKIDOFS3/" in s3.signatures[-1] and "/eu-west-1/s3/" in s3.signatures[-1]
    for key, version, value in (
        ("first.zip", "v2", "second"),
        ("folder/with space+plus.zip", None, "odd"),
    ):
        more = {} if version is None else {"S3ObjectVersion": version}
        function.client.update_function_code(FunctionName=function.name, S3Bucket="code", S3Key=key, **more)
        function.wait_updated()
        assert function.invoke().value == value


def test_layers_are_published_from_objects(with_s3: Squib) -> None:
    told = with_s3.client().publish_layer_version(
        LayerName=unique_name("layer"), Content={"S3Bucket": "code", "S3Key": "layer.zip"}
    )
    source = "import shared\ndef handler(event, context):\n    return shared.VALUE\n"
    function = with_s3.deploy(source, Layers=[told["LayerVersionArn"]])
    assert function.invoke().value == "from S3"


@pytest.mark.parametrize(
    ("bucket", "key", "status", "message"),
    [
        ("nobucket", "first.zip", 400, NO_BUCKET),
        ("code", "none.zip", 400, NO_KEY),
        (
            *("code", "broken.zip", 400),
            "Could not unzip uploaded file. Please check your file, then try to upload again.",
        ),
        (
            *("code", "secret.zip", 403),
            "Your access has been denied by S3, please make sure your request credentials have permission to "
            "GetObject for code/secret.zip. S3 Error Code: AccessDenied. S3 Error Message: Access Denied",
        ),
    ],
)
def test_what_s3_refuses_is_told_in_its_words(
    with_s3: Squib, bucket: str, key: str, status: int, message: str
) -> None:
    client = with_s3.client()
    with pytest.raises(ClientError) as of_function:
        create(with_s3, key, bucket)
    with pytest.raises(ClientError) as of_layer:
        client.publish_layer_version(LayerName="l", Content={"S3Bucket": bucket, "S3Key": key})
    for told in (of_function, of_layer):
        assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
        assert told.value.response["Error"]["Message"] == message


def test_an_object_that_the_caller_may_not_read_is_not_read_for_it(with_s3: Squib, s3: S3) -> None:
    function = create(with_s3, "first.zip")
    function.wait_active()
    user = User(with_s3, everything("lambda:*"), everything("s3:GetObject", "arn:aws:s3:::code/folder/*"))
    named = {"FunctionName": function.name, "S3Bucket": "code"}
    asked = len(s3.signatures)
    said = refused(user.client().update_function_code, **named, S3Key="first.zip")
    assert "s3:GetObject on resource: arn:aws:s3:::code/first.zip because no identity-based" in said
    refused(user.client().update_function_code, **named, S3Key="folder/a", S3ObjectVersion="v2")
    with pytest.raises(ClientError, match="reads no object with"):
        user.client().update_function_code(**named, S3Key="folder/../first.zip")
    assert len(s3.signatures) == asked
    user.client().update_function_code(**named, S3Key="folder/with space+plus.zip")
    function.wait_updated()
    assert function.invoke().value == "odd"


def test_without_a_key_requests_are_not_signed(squib: Squib, s3: S3) -> None:
    s3.objects["open/code.zip"] = returning("open")
    function = create(squib, "code.zip", "open")
    function.wait_active()
    assert function.invoke().value == "open"
    assert s3.signatures[-1] == ""


def test_without_an_endpoint_the_refusal_says_what_to_do() -> None:
    with Squib() as squib, pytest.raises(ClientError) as refused:
        create(squib, "first.zip")
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidParameterValueException"
    assert "--s3-endpoint" in error["Message"]


def test_an_endpoint_that_is_not_there_is_our_fault() -> None:
    with S3() as s3:
        gone = s3.url
    with Squib("--s3-endpoint", gone) as squib:
        with pytest.raises(ClientError) as told:
            create(squib, "first.zip")
        assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        eventually(lambda: "s3_unreachable" in squib.output)
