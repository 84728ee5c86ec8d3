"""The variables of an environment."""

import msgspec

from squib.environment.variables import (
    environment_variables,
    exec_wrapper,
    extension_variables,
    runtime_version,
)
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


def test_xray_is_told_of_as_on_lambda_and_provided_runtimes_have_no_language_folder() -> None:
    got = variables()
    assert (
        got["AWS_XRAY_DAEMON_ADDRESS"] == f"{got['_AWS_XRAY_DAEMON_ADDRESS']}:{got['_AWS_XRAY_DAEMON_PORT']}"
    )
    assert got["AWS_XRAY_CONTEXT_MISSING"] == "LOG_ERROR"
    provided = variables(runtime="provided.al2023")
    assert provided["PATH"] == "/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert "/var/lang" not in provided["LD_LIBRARY_PATH"]
    assert "PYTHONPATH" not in provided and "NODE_PATH" not in provided


def test_extensions_get_all_but_what_is_the_runtimes_own() -> None:
    whole = variables(environment_variables=SecretMap({"OWN": "1"}))
    assert set(whole) - set(extension_variables(whole)) == {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
        "_AWS_XRAY_DAEMON_ADDRESS",
        "_AWS_XRAY_DAEMON_PORT",
        "_HANDLER",
    }


def test_wrapper_is_for_managed_runtimes() -> None:
    given = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}
    assert exec_wrapper("python3.12", given) == exec_wrapper("nodejs20.x", given) == "/opt/wrap"
    assert exec_wrapper("provided.al2023", given) is None
    assert exec_wrapper("python3.12", {"AWS_LAMBDA_EXEC_WRAPPER": ""}) is None
