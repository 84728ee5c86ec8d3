"""What the processes of a sandbox are told to run: the document that init hands them unread. Pure."""

from typing import Any

from squib.environment.driver import SandboxSpec
from squib.environment.isolation.tmp_images import DEFAULT_TMP_MIB
from squib.environment.runtimes import (
    INSIDE_BOOTSTRAP,
    INSIDE_CLIENT,
    INSIDE_PREFIX,
    Runtime,
    RuntimeKind,
    node_options,
)
from squib.environment.variables import has_own_libraries


def programs_of(runtime: Runtime, memory_mib: int) -> list[list[str]] | None:
    """What the runtime's process executes, the first that there is; None when it goes on in the fork server's
    own interpreter."""
    if runtime.kind is RuntimeKind.PYTHON:
        return None
    if runtime.kind is RuntimeKind.NODEJS:
        return [[runtime.interpreter_inside, *node_options(memory_mib), f"{INSIDE_CLIENT}/bootstrap.js"]]
    return [["/var/task/bootstrap"], ["/opt/bootstrap"]]


def what_forbids_clones(spec: SandboxSpec, work: dict[str, Any]) -> str | None:
    """Why no snapshot can be taken of what a function runs, for its owner; None when one can."""
    if spec.wrapper is not None:
        return (
            "AWS_LAMBDA_EXEC_WRAPPER starts a program of its own, of which no snapshot by fork can be taken"
        )
    if work["programs"] is not None:
        return "it runs in a program of its own, of which no snapshot by fork can be taken"
    if spec.extensions:
        return "external extensions can't be part of a snapshot by fork"
    if spec.ephemeral_mib != DEFAULT_TMP_MIB:
        return f"its /tmp has another size than {DEFAULT_TMP_MIB} MiB"
    return None


def work_of(spec: SandboxSpec, runtime: Runtime) -> dict[str, Any]:
    """What zygote.become_runtime and become_extension read."""
    programs = programs_of(runtime, spec.memory_mib)
    variables = dict(spec.variables)
    wrapper = spec.wrapper
    is_particular = has_own_libraries(variables)
    if programs is None and (wrapper is not None or is_particular):
        programs = [[f"{INSIDE_PREFIX}/bin/{runtime.name}", INSIDE_BOOTSTRAP]]
        if is_particular:  # those that the interpreter itself needs stay
            libraries = [variables["LD_LIBRARY_PATH"], *map(runtime.inside, runtime.library_dirs)]
            variables["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
    work: dict[str, Any] = {
        "variables": variables,
        "programs": programs,
        "wrapper": wrapper,
        "handler": spec.handler,
    }
    if spec.extensions:
        work["extensions"] = {"names": spec.extensions, "variables": dict(spec.extension_variables)}
    return work
