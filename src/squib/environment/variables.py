"""The variables a runtime finds in its environment: the reserved and unreserved lists of the guide. Pure."""

from collections.abc import Mapping
from typing import Final

from squib.environment.apis.credentials import URI as CREDENTIALS_URI
from squib.model.function import FunctionVersion
from squib.model.identity import AccessKey
from squib.scheduler.lifetime import Initialization

_DEFAULTS: Final = {
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": (
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
    ),
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
}
"""A function may set these itself."""
_PROVIDED: Final = {
    "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
}
"""Where there is no language at /var/lang."""
DAEMON_HOST: Final = "127.0.0.1"
DAEMON_PORT: Final = 2000  # X-Ray daemon guide, "AWS_XRAY_DAEMON_ADDRESS"
_XRAY: Final = ("AWS_XRAY_DAEMON_ADDRESS", "_AWS_XRAY_DAEMON_ADDRESS", "_AWS_XRAY_DAEMON_PORT")
_RUNTIME_ONLY: Final = frozenset(
    {
        *("AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"),
        *("AWS_XRAY_CONTEXT_MISSING", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_HANDLER", *_XRAY),
    }
)
"""Extensions API guide, "Environment variables": those an extension's process does not get."""


def environment_variables(
    function: FunctionVersion,
    *,
    log_stream: str,
    endpoint_url: str,
    access_key: AccessKey,
    initialization: Initialization = Initialization.ON_DEMAND,
    credentials_token: str | None = None,
) -> dict[str, str]:
    """Everything but what a driver adds: the Runtime API's address and the telemetry descriptor.

    `endpoint_url` is squib's own API as seen from inside. With a `credentials_token` there is nothing in them
    that is one environment's alone: credentials are to be asked for, and the log stream is not told.
    """
    variables = dict(_DEFAULTS)
    if function.runtime.startswith("python"):
        variables["PYTHONPATH"] = "/var/runtime"
    elif function.runtime.startswith("provided"):
        variables |= _PROVIDED
    elif function.runtime.startswith("nodejs"):
        major = function.runtime.removeprefix("nodejs").removesuffix(".x")
        variables["NODE_PATH"] = (
            f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:"
            "/var/runtime/node_modules:/var/runtime:/var/task"
        )
    variables["AWS_ENDPOINT_URL"] = endpoint_url
    if function.environment_variables is not None:
        variables.update(function.environment_variables.plain)
    variables |= {
        "_HANDLER": function.handler,
        "AWS_REGION": function.key.region,
        "AWS_DEFAULT_REGION": function.key.region,
        "AWS_LAMBDA_FUNCTION_NAME": function.key.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mib),
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_INITIALIZATION_TYPE": initialization.value,
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        **xray_variables(DAEMON_PORT),
    }
    if credentials_token is not None:
        variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = CREDENTIALS_URI
        variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = credentials_token
    else:
        variables["AWS_LAMBDA_LOG_GROUP_NAME"] = function.logging.log_group
        variables["AWS_LAMBDA_LOG_STREAM_NAME"] = log_stream
        variables["AWS_ACCESS_KEY_ID"] = access_key.access_key_id
        variables["AWS_SECRET_ACCESS_KEY"] = access_key.secret_access_key
        if access_key.session_token is not None:
            variables["AWS_SESSION_TOKEN"] = access_key.session_token
    if not function.runtime.startswith("provided"):
        variables["AWS_EXECUTION_ENV"] = f"AWS_Lambda_{function.runtime}"
    if function.logging.log_format == "JSON":
        variables["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
        variables["AWS_LAMBDA_LOG_LEVEL"] = function.logging.application_log_level or "INFO"
    return variables


def xray_variables(port: int) -> dict[str, str]:
    """Where SDKs send segments. Only in environments of functions that are traced somebody listens there."""
    return dict(zip(_XRAY, (f"{DAEMON_HOST}:{port}", DAEMON_HOST, str(port)), strict=True))


def extension_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Of a runtime's variables those that external extensions get too."""
    return {name: value for name, value in variables.items() if name not in _RUNTIME_ONLY}


def exec_wrapper(runtime: str, variables: Mapping[str, str]) -> str | None:
    """The program that is to run the runtime. Runtimes of the `provided` family do not look for one."""
    return None if runtime.startswith("provided") else variables.get("AWS_LAMBDA_EXEC_WRAPPER") or None


def has_own_libraries(variables: Mapping[str, str]) -> bool:
    """Whether a function has set LD_LIBRARY_PATH to its own liking."""
    return variables.get("LD_LIBRARY_PATH", _DEFAULTS["LD_LIBRARY_PATH"]) != _DEFAULTS["LD_LIBRARY_PATH"]


def runtime_version(runtime: str) -> str:
    """A runtime's name as INIT_START shows it: `python:3.12`."""
    for language in ("python", "nodejs", "java", "dotnet", "ruby"):
        if runtime.startswith(language):
            return f"{language}:{runtime.removeprefix(language).removesuffix('.x')}"
    return runtime.replace(".", ":", 1)
