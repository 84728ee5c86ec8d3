"""What a driver is told of an environment that it is to make. Pure."""

from squib.environment.driver import SandboxSpec
from squib.environment.variables import environment_variables, exec_wrapper, extension_variables
from squib.model.function import FunctionVersion
from squib.model.identity import AccessKey
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
    extensions: tuple[str, ...],
) -> SandboxSpec:
    """The sandbox of one environment of the function."""
    variables = environment_variables(
        function,
        log_stream=log_stream,
        endpoint_url=endpoint_url,
        access_key=access_key,
        initialization=initialization,
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
    )
