"""What a driver is told of an environment that it is to make. Pure."""

from squib.environment.driver import SandboxSpec
from squib.environment.variables import (
    environment_variables,
    exec_wrapper,
    extension_variables,
    has_own_libraries,
)
from squib.model.function import FunctionVersion
from squib.model.identity import AccessKey
from squib.model.trace import ACTIVE
from squib.model.units import EnvironmentId
from squib.scheduler.lifetime import Initialization


def specify(
    function: FunctionVersion,
    environment_id: EnvironmentId,
    *,
    log_stream: str,
    endpoint_url: str,
    access_key: AccessKey,
    initialization: Initialization,
    extensions: tuple[str, ...] = (),
    credentials_token: str | None = None,
    is_template: bool = False,
) -> SandboxSpec:
    """The sandbox of one environment of the function, or of a template of such."""
    variables = environment_variables(
        function,
        log_stream=log_stream,
        endpoint_url=endpoint_url,
        access_key=access_key,
        initialization=initialization,
        credentials_token=credentials_token,
    )
    return SandboxSpec(
        environment_id=environment_id,
        runtime=function.runtime,
        code=function.code.digest,
        opt=function.opt_digest,
        handler=function.handler,
        variables=variables,
        memory_mib=function.memory_mib,
        ephemeral_mib=function.ephemeral_mib,
        wrapper=exec_wrapper(function.runtime, variables),
        extensions=extensions,
        extension_variables=extension_variables(variables) if extensions else {},
        is_traced=function.tracing_mode == ACTIVE,
        is_template=is_template,
    )


def why_no_snapshot(function: FunctionVersion, extensions: tuple[str, ...]) -> str | None:
    """Why environments of the function can't be cloned, as far as its configuration tells; for its owner."""
    given = {} if function.environment_variables is None else function.environment_variables.plain
    if not function.runtime.startswith("python"):
        return f"squib takes snapshots of Python runtimes only, not of {function.runtime}"
    if extensions:
        return f"processes of external extensions ({', '.join(extensions)}) can't be cloned"
    if exec_wrapper(function.runtime, given):
        return "a runtime that is started by AWS_LAMBDA_EXEC_WRAPPER can't be cloned"
    if has_own_libraries(given):
        return "a runtime with an LD_LIBRARY_PATH of the function's own can't be cloned"
    return None
