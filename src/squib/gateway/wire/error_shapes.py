"""Errors as each protocol shows them: which code, which status, which body.

The catalogue in `model.errors` names errors as Lambda does. What the other services call the same thing is in
the tables here (IAM user guide, "Common errors" of the STS, IAM and CloudWatch Logs references).
"""

from typing import Final

import msgspec

from squib.gateway.wire import cbor, json_rpc, query, query_compatible, rest_json, rpc_cbor
from squib.gateway.wire.service_model import ServiceModel
from squib.model.errors import ApiError, ValidationException

_QUERY_NAMES: Final = {
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "AccessDeniedException": ("AccessDenied", 403),
    "ValidationException": ("ValidationError", 400),
    "SerializationException": ("MalformedInput", 400),
    "UnknownOperationException": ("InvalidAction", 400),
    "NotImplementedException": ("NotImplemented", 501),
    "ServiceUnavailableException": ("ServiceUnavailable", 503),
    "ServiceException": ("InternalFailure", 500),
}
_QUERY_MESSAGES: Final = {
    "MissingAuthenticationToken": "Request is missing Authentication Token",
    "InvalidClientTokenId": "The security token included in the request is invalid",
}
_JSON_NAMES: Final = {
    "MissingAuthenticationTokenException": ("MissingAuthenticationTokenException", 400),
    "IncompleteSignatureException": ("IncompleteSignatureException", 400),
    "InvalidSignatureException": ("InvalidSignatureException", 400),
    "UnrecognizedClientException": ("UnrecognizedClientException", 400),
    "ExpiredTokenException": ("ExpiredTokenException", 400),
    "AccessDeniedException": ("AccessDeniedException", 400),
    "ResourceNotFoundException": ("ResourceNotFoundException", 400),
    "UnknownOperationException": ("UnknownOperationException", 400),
    "ServiceException": ("InternalFailure", 500),
}
_JSON_VALIDATION: Final = {"logs": "InvalidParameterException"}
"""What a json service calls a violated constraint, where it is not ValidationException."""

_UPPER: Final = ("AccessDeniedException", "ResourceNotFoundException")
"""Recorded from Lambda: these say `Message`. Else the exception's shape decides, or it is `message`."""


def render(
    protocol: str, model: ServiceModel | None, error: ApiError, request_id: str
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of an error. `model` is None when the service is unknown or its model is not
    at hand; names that only the model knows are then the usual ones."""
    match protocol:
        case "query":
            status, headers, body = _query(model, error, request_id)
        case "json":
            status, headers, said = _json(model, error)
            body = msgspec.json.encode(said)
        case "cbor":
            status, headers, said = _json(model, error)
            headers = [("Content-Type", rpc_cbor.CONTENT_TYPE), rpc_cbor.PROTOCOL_HEADER, *headers[1:]]
            body = cbor.encode(said)
        case _:
            status, headers, body = _rest_json(model, error)
    headers.extend(error.headers.items())
    return status, headers, body


def _rest_json(model: ServiceModel | None, error: ApiError) -> tuple[int, list[tuple[str, str]], bytes]:
    shape = None if model is None else model.shapes.get(error.code)
    if shape is not None:
        name = "Message" if "Message" in shape.members else "message"
    else:
        name = "Message" if error.code in _UPPER else "message"
    body = {**error.fields, name: error.message or None}
    headers = [("Content-Type", rest_json.CONTENT_TYPE), ("x-amzn-ErrorType", error.code)]
    return error.status, headers, msgspec.json.encode(body)


def _json(model: ServiceModel | None, error: ApiError) -> tuple[int, list[tuple[str, str]], dict[str, str]]:
    code, status = _JSON_NAMES.get(error.code, (error.code, error.status))
    content_type = "application/x-amz-json-1.1"
    if model is not None:
        content_type = json_rpc.content_type(model)
        if isinstance(error, ValidationException):
            code = _JSON_VALIDATION.get(model.service, code)
    headers = [("Content-Type", content_type)]
    if model is not None and model.metadata.aws_query_compatible is not None:
        status = 400 if status < 500 else status
        fault = "Sender" if status < 500 else "Receiver"
        headers.append(("x-amzn-query-error", f"{_query_name(model, error)[0]};{fault}"))
        code = query_compatible.json_type(model, code)
    body: dict[str, str] = {"__type": code}
    if error.message:
        body["message"] = error.message
    return status, headers, body


def _query_name(model: ServiceModel | None, error: ApiError) -> tuple[str, int]:
    found = None
    if model is not None and model.metadata.aws_query_compatible is not None:
        shape = model.shapes.get(error.code)
        if shape is not None and shape.error.code:  # the model has the codes of the query protocol itself
            found = shape.error.code, error.status
        else:
            found = query_compatible.query_error(error.code)
    return found or _QUERY_NAMES.get(error.code, (error.code, error.status))


def _query(
    model: ServiceModel | None, error: ApiError, request_id: str
) -> tuple[int, list[tuple[str, str]], bytes]:
    code, status = _query_name(model, error)
    namespace = ""
    if model is not None:
        namespace = f' xmlns="{model.metadata.xml_namespace}"'
        shape = model.shapes.get(error.code)
        # An expired web identity token has the code of an expired signature's, and the model's own status.
        is_own = shape is not None and error.status == shape.error.http_status_code
        is_named = (
            model.metadata.aws_query_compatible is not None
        )  # by `_query_name`, from the model or a table
        if shape is not None and not is_named and (is_own or error.code not in _QUERY_NAMES):
            code = shape.error.code or code
            status = shape.error.http_status_code or status
    kind = "Sender" if status < 500 else "Receiver"
    message = query.escape(_QUERY_MESSAGES.get(code, error.message))
    text = (
        f"<ErrorResponse{namespace}><Error><Type>{kind}</Type><Code>{query.escape(code)}</Code>"
        f"<Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return status, [("Content-Type", query.CONTENT_TYPE)], text.encode()
