"""The variables of an environment."""

import msgspec

from squib.environment.variables import environment_variables, runtime_version
from squib.model.function import CodeRef, FunctionKey, FunctionVersion, LoggingConfig, State
from squib.model.identity import AccessKey, root_principal
from squib.model.secret import SecretMap
from squib.model.units import AccountId, ArchiveDigest, EpochMs, Region

ACCOUNT = AccountId("000000000000")
FUNCTION = FunctionVersion(
    key=FunctionKey(ACCOUNT, Region("eu-west-1"), "thumbnail"),
    created_at_ms=EpochMs(0),
    modified_at_ms=EpochMs(0),
    revision_id="r",
    content_id="r",
    runtime="python3.12",
    handler="app.handler",
    role_arn="arn:aws:iam::000000000000:role/r",
    code=CodeRef(digest=ArchiveDigest("0" * 64), size_bytes=1),
    memory_mib=256,
    logging=LoggingConfig(log_group="/aws/lambda/thumbnail"),
    state=State.ACTIVE,
)
KEY = AccessKey(
    access_key_id="ASIAEXAMPLE",
    secret_access_key="secret",
    session_token="token",
    principal=root_principal(ACCOUNT),
)


def variables(**changes: object) -> dict[str, str]:
    function = msgspec.structs.replace(FUNCTION, **changes)
    return environment_variables(function, log_stream="s", endpoint_url="http://e", access_key=KEY)


def test_reserved_variables_are_there_and_cannot_be_overridden() -> None:
    own = {"AWS_REGION": "mars", "_HANDLER": "x", "AWS_SESSION_TOKEN": "stolen", "TABLE": "t"}
    got = variables(environment_variables=SecretMap(own))
    assert got["AWS_REGION"] == got["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert got["_HANDLER"] == "app.handler"
    assert got["AWS_LAMBDA_FUNCTION_NAME"] == "thumbnail"
    assert got["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "256"
    assert got["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert got["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
    assert got["AWS_SESSION_TOKEN"] == "token"
    assert got["TABLE"] == "t"
    assert got["AWS_ENDPOINT_URL"] == "http://e"


def test_unreserved_variables_can_be_overridden() -> None:
    own = {"TZ": "Europe/Berlin", "PATH": "/x", "AWS_ENDPOINT_URL": "http://mine"}
    got = variables(environment_variables=SecretMap(own))
    assert (got["TZ"], got["PATH"], got["AWS_ENDPOINT_URL"]) == ("Europe/Berlin", "/x", "http://mine")


def test_provided_runtimes_have_no_execution_env_and_json_logging_sets_its_variables() -> None:
    assert "AWS_EXECUTION_ENV" not in variables(runtime="provided.al2023")
    assert "AWS_LAMBDA_LOG_FORMAT" not in variables()
    logging = LoggingConfig(log_group="g", log_format="JSON", application_log_level="DEBUG")
    got = variables(logging=logging)
    assert (got["AWS_LAMBDA_LOG_FORMAT"], got["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "DEBUG")


def test_runtime_version_names() -> None:
    assert runtime_version("python3.12") == "python:3.12"
    assert runtime_version("nodejs20.x") == "nodejs:20"
    assert runtime_version("provided.al2023") == "provided:al2023"
