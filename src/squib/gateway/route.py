"""Which service and operation a request means. Holds no rule of any service."""

import re
from typing import Final

from squib.gateway.models import SERVICES, ServiceModels
from squib.gateway.wire import invoke, json_rpc, query, rpc_cbor
from squib.iam import sigv4
from squib.model.errors import (
    ApiError,
    RequestEntityTooLarge,
    RequestTooLarge,
    UnknownOperation,
    UnknownService,
)
from squib.model.limits import MAX_CREATE_REQUEST_BYTES, MAX_SYNC_PAYLOAD_BYTES
from squib.model.operation import RawRequest, RoutedCall

PROTOCOLS: Final = {
    "lambda": "rest-json",
    "logs": "json",
    "sts": "query",
    "iam": "query",
    "sqs": "json",
    "monitoring": "json",
    "xray": "rest-json",
}
_ALSO_QUERY: Final = ("sqs", "monitoring")
"""Services that take forms too: whatever carries no X-Amz-Target is one."""


_TARGETS: Final = {
    "Logs_20140328": "logs",
    "AmazonSQS": "sqs",
    "GraniteServiceVersion20100801": "monitoring",
}
"""Of X-Amz-Target, and of the paths of rpc-v2-cbor."""
_FORM_VERSIONS: Final = {
    "2011-06-15": "sts",
    "2010-05-08": "iam",
    "2012-11-05": "sqs",
    "2010-08-01": "monitoring",
}
_QUEUE_PATH: Final = re.compile(r"/[0-9]{12}/[A-Za-z0-9_.-]+")
_MAX_FORM_BYTES: Final = 1024 * 1024  # our own choice: IAM's longest parameter has 131,072 characters
_MAX_QUEUE_FORM_BYTES: Final = 4 * 1024 * 1024  # our own choice: a message of 1 MiB, percent-encoded
_INVOKE_OPERATIONS: Final = ("Invoke", "InvokeAsync", "InvokeWithResponseStream")


def service_of(request: RawRequest) -> str | None:
    """The service a request means: the one it is signed for, else the one it is shaped for."""
    if invoke.function_label(request.method, request.path) is not None:
        return "lambda"
    signed_for = sigv4.scope_service(request.headers, request.query)
    if signed_for in SERVICES:
        return signed_for
    named = rpc_cbor.place(request.path)
    if named is not None:
        return _TARGETS.get(named[0])
    target = request.headers.get("x-amz-target")
    if target is not None:
        return _TARGETS.get(target.partition(".")[0])
    if _takes_form(request):
        try:
            return _FORM_VERSIONS.get(_form(request).get("Version", ""))
        except ApiError:
            return None
    return "lambda" if request.path[:3] == "/20" else None


def protocol_of(request: RawRequest, service: str | None) -> str:
    """The protocol to answer in, also for a request whose service is unknown."""
    if rpc_cbor.place(request.path) is not None:
        return "cbor"
    is_targeted = "x-amz-target" in request.headers
    if service is not None:
        return "query" if service in _ALSO_QUERY and not is_targeted else PROTOCOLS[service]
    if is_targeted:
        return "json"
    return "query" if _takes_form(request) and query.is_form(request.headers) else "rest-json"


def _takes_form(request: RawRequest) -> bool:
    return request.path == "/" or _QUEUE_PATH.fullmatch(request.path) is not None


def route(request: RawRequest, service: str | None, models: ServiceModels) -> RoutedCall:
    """The operation of a request to `service`, its body within limits.

    Raises UnknownService, UnknownOperation, RequestTooLarge or RequestEntityTooLarge.
    """
    labels: dict[str, str] = {}
    if service is None:
        signed_for = sigv4.scope_service(request.headers, request.query)
        named = f"'{signed_for}'" if signed_for is not None else f"{request.method} {request.path}"
        raise UnknownService(named, ", ".join(SERVICES))
    protocol = protocol_of(request, service)
    match protocol:
        case "rest-json":
            operation, labels = _rest_operation(request, service, models)
        case "cbor":
            operation = _cbor_operation(request, service, models)
        case "json":
            operation = _json_operation(request, service, models)
        case _:
            operation = _query_operation(request, service, models)
            if service == "sqs" and request.path != "/":
                labels = {"QueueUrl": request.base_url + request.path}
    _check_size(request, operation)
    return RoutedCall(
        request=request, service=service, protocol=protocol, operation=operation, path_labels=labels
    )


def invoke_call(request: RawRequest, function_label: str) -> RoutedCall:
    """What `route` makes of a request whose path is known to be an Invoke's; any size of body is taken."""
    return RoutedCall(
        request=request,
        service="lambda",
        protocol="rest-json",
        operation="Invoke",
        path_labels={"FunctionName": function_label},
    )


def _rest_operation(request: RawRequest, service: str, models: ServiceModels) -> tuple[str, dict[str, str]]:
    label = invoke.function_label(request.method, request.path)
    if label is not None and service == "lambda":
        return "Invoke", {"FunctionName": label}
    found = models.get(service).routes.find(request.method, request.path, request.query)
    if found is None:
        raise UnknownOperation()
    return found


def _json_operation(request: RawRequest, service: str, models: ServiceModels) -> str:
    operation = json_rpc.operation_of(models.get(service), request.headers.get("x-amz-target", ""))
    if operation is None:
        raise UnknownOperation()
    return operation


def _cbor_operation(request: RawRequest, service: str, models: ServiceModels) -> str:
    named, model = rpc_cbor.place(request.path), models.get(service)
    is_spoken = request.headers.get("smithy-protocol") == rpc_cbor.PROTOCOL_HEADER[1]
    if named is None or not is_spoken or request.method != "POST":
        raise UnknownOperation()
    prefix, operation = named
    if prefix != model.metadata.target_prefix or operation not in model.operations:
        raise UnknownOperation()
    return operation


def _query_operation(request: RawRequest, service: str, models: ServiceModels) -> str:
    given = _form(request, _MAX_QUEUE_FORM_BYTES if service == "sqs" else _MAX_FORM_BYTES)
    action = given.get("Action")
    if action is None:
        raise UnknownOperation("The request must contain the parameter Action.")
    model = models.get(service)
    version = given.get("Version", model.metadata.api_version)
    if action not in model.operations or version != model.metadata.api_version:
        raise UnknownOperation(f"Could not find operation {action} for version {version}")
    return action


def _form(request: RawRequest, max_bytes: int = _MAX_FORM_BYTES) -> dict[str, str]:
    """The parameters of a query request. Read before the caller is known, so it must be small."""
    if len(request.body) > max_bytes:
        raise RequestEntityTooLarge(f"Request must be smaller than {max_bytes} bytes")
    return query.parameters(request.headers, request.query, request.body)


def _check_size(request: RawRequest, operation: str) -> None:
    size_bytes = len(request.body)
    if size_bytes <= MAX_SYNC_PAYLOAD_BYTES:
        return
    if operation in _INVOKE_OPERATIONS:
        raise RequestTooLarge(
            f"Request must be smaller than {MAX_SYNC_PAYLOAD_BYTES} bytes for the InvokeFunction operation"
        )
    if size_bytes > MAX_CREATE_REQUEST_BYTES:
        raise too_large(operation)


def too_large(operation: str) -> RequestEntityTooLarge:
    """The refusal of a request over the limit of all operations."""
    return RequestEntityTooLarge(
        f"Request must be smaller than {MAX_CREATE_REQUEST_BYTES} bytes for the {operation} operation"
    )
