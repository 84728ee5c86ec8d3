"""Every error a caller can see: code, HTTP status, message template. Shaped for the wire elsewhere.

A function's own failure is not here: it is a value (`invocation.FunctionFailed`), a 200 on the wire.
"""

from collections.abc import Mapping


class SquibError(Exception):
    """Root of squib's own exceptions."""


class PlatformError(SquibError):
    """Our fault. Mapped once, at the edge, to a ServiceException without detail; the log has all."""


class IllegalTransitionError(SquibError):
    """Our bug: a state machine was given an event that its table does not have in that state."""


class ApiError(SquibError):
    """The caller's fault, or an answer the service model names.

    `code` is the error type (`ResourceNotFoundException`), `status` the HTTP status, `fields` further
    members of the error body (`Type`, `Reason`) in wire names, `headers` further response headers.
    """

    code: str = "ServiceException"
    status: int = 500

    def __init__(
        self,
        message: str = "",
        *,
        code: str | None = None,
        status: int | None = None,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status
        self.fields: Mapping[str, str] = fields or {}
        self.headers: Mapping[str, str] = headers or {}

    @property
    def fault(self) -> str:
        """`client` for a 4xx status, else `server`."""
        return "client" if self.status < 500 else "server"


class NotImplementedYet(ApiError):
    """The operation exists in AWS's model but squib does not build it yet."""

    code, status = "NotImplementedException", 501

    def __init__(self, service: str, operation: str) -> None:
        super().__init__(f"squib does not implement {service}:{operation} yet.")


class UnsupportedParameter(ApiError):
    """A parameter that squib would have to ignore: refused rather than silently stored."""

    code, status = "NotImplementedException", 501

    def __init__(self, operation: str, parameter: str, instead: str = "") -> None:
        """`instead`: what to do without it, as a sentence."""
        text = f"squib does not implement the parameter {parameter} of {operation} yet."
        super().__init__(f"{text} {instead}" if instead else text)


class ServiceException(ApiError):
    """An internal failure as the caller sees it."""

    code, status = "ServiceException", 500

    def __init__(self, message: str = "An error occurred and the request cannot be processed.") -> None:
        super().__init__(message, fields={"Type": "Service"})


# --- authentication (order and texts: AWS signature troubleshooting page; tests/cases/signatures)


class MissingAuthenticationToken(ApiError):
    """The call carries no signature at all."""

    code, status = "MissingAuthenticationTokenException", 403

    def __init__(self) -> None:
        super().__init__("Missing Authentication Token")


class IncompleteSignature(ApiError):
    """The Authorization header is malformed; `message` names what is missing."""

    code, status = "IncompleteSignatureException", 403


class InvalidSignature(ApiError):
    """The signature does not match, or is expired or not yet current."""

    code, status = "InvalidSignatureException", 403


class UnrecognizedClient(ApiError):
    """No such access key, or a wrong session token."""

    code, status = "UnrecognizedClientException", 403

    def __init__(self, message: str = "The security token included in the request is invalid.") -> None:
        super().__init__(message)


class ExpiredToken(ApiError):
    """A temporary credential past its end."""

    code, status = "ExpiredTokenException", 403

    def __init__(self) -> None:
        super().__init__("The security token included in the request is expired")


class AccessDenied(ApiError):
    """Authenticated, but not allowed."""

    code, status = "AccessDeniedException", 403


class UnknownOperation(ApiError):
    """The request matches no operation of any service."""

    code, status = "UnknownOperationException", 404

    def __init__(self, message: str = "The requested operation is not recognized by the service.") -> None:
        super().__init__(message)


class UnknownService(ApiError):
    """The request is signed for, or shaped for, a service that squib does not serve."""

    code, status = "UnknownOperationException", 404

    def __init__(self, named: str, served: str) -> None:
        super().__init__(f"squib does not serve {named}. It serves {served}.")


class SerializationException(ApiError):
    """400: the request is malformed or holds a value of the wrong type."""

    code, status = "SerializationException", 400


class ServiceUnavailable(ApiError):
    """503: squib is stopping and takes no more requests."""

    code, status = "ServiceUnavailableException", 503

    def __init__(self) -> None:
        super().__init__("squib is stopping.")


# --- Lambda (Lambda API reference, the Errors section of each operation)


class ResourceNotFound(ApiError):
    """404 with `Message` and `Type: User` in Lambda; other services say the same with `message`."""

    code, status = "ResourceNotFoundException", 404

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"Type": "User"})


class ResourceConflict(ApiError):
    """409: exists already, or is being changed."""

    code, status = "ResourceConflictException", 409

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"Type": "User"})


class InvalidParameterValue(ApiError):
    """400 in Lambda's own words."""

    code, status = "InvalidParameterValueException", 400

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"Type": "User"})


class ValidationException(ApiError):
    """400 from the model's constraints: `1 validation error detected: ...`."""

    code, status = "ValidationException", 400


class PreconditionFailed(ApiError):
    """412: the RevisionId given is not the latest."""

    code, status = "PreconditionFailedException", 412

    def __init__(
        self,
        message: str = (
            "The Revision Id provided does not match the latest Revision Id. "
            "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
        ),
    ) -> None:
        super().__init__(message, fields={"Type": "User"})


class InvalidRequestContent(ApiError):
    """400: the payload of an Invoke is not JSON."""

    code, status = "InvalidRequestContentException", 400

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"Type": "User"})


class RequestTooLarge(ApiError):
    """413: the payload of an Invoke passes its limit."""

    code, status = "RequestTooLargeException", 413

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"Type": "User"})


class EventTooLarge(ApiError):
    """413: the payload of an asynchronous invocation passes its limit."""

    code, status = "RequestTooLargeException", 413

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        limit = f"(limit {limit_bytes} bytes)"
        message = f"{size_bytes} byte payload is too large for the Event invocation type {limit}"
        super().__init__(message, fields={"Type": "User"})


class SnapStartNotReady(ApiError):
    """409: the snapshot of a version is still being taken."""

    code, status = "SnapStartNotReadyException", 409

    def __init__(self) -> None:
        # developer guide, "Troubleshooting SnapStart errors"
        message = (
            "Lambda is initializing your function. "
            "It will be ready to invoke once your function state becomes ACTIVE."
        )
        super().__init__(message, fields={"Type": "User"})


class SnapStartFailed(ApiError):
    """400: an environment did not come out of its snapshot, a hook of the function's failing."""

    code, status = "SnapStartException", 400

    def __init__(self) -> None:
        message = (
            "The afterRestore() runtime hook encountered an error. "
            "For more information, check the Amazon CloudWatch logs."
        )  # botocore's model
        super().__init__(message, fields={"Type": "User"})


class SnapStartTimeout(ApiError):
    """408: the same, for its time was over."""

    code, status = "SnapStartTimeoutException", 408

    def __init__(self) -> None:
        message = "Lambda couldn't restore the snapshot within the timeout limit."  # botocore's model
        super().__init__(message, fields={"Type": "User"})


class RecursiveInvocation(ApiError):
    """400: the function is invoked again and again by what it itself has set off."""

    code, status = "RecursiveInvocationException", 400

    def __init__(self, function_name: str) -> None:
        message = f"Lambda has detected that function {function_name} is being invoked in a recursive loop."
        super().__init__(message, fields={"Type": "User"})


class RequestEntityTooLarge(ApiError):
    """413: an API request passes its limit."""

    code, status = "RequestEntityTooLargeException", 413


class CodeStorageExceeded(ApiError):
    """400: the account's code storage is full."""

    code, status = "CodeStorageExceededException", 400


class CodeSigningConfigMissing(ApiError):
    """404, without a `Type`: what an operation on a code signing configuration says when there is none."""

    code, status = "ResourceNotFoundException", 404

    def __init__(self, arn: str) -> None:
        super().__init__(f"The Lambda code signing configuration {arn} can not be found.")


class CodeSigningConfigNotFound(ApiError):
    """404: what an operation on a function says of it."""

    code, status = "CodeSigningConfigNotFoundException", 404

    def __init__(self, arn: str) -> None:
        message = (
            "The code signing configuration cannot be found. "
            f"Check that the provided configuration is not deleted: {arn}."
        )
        super().__init__(message, fields={"Type": "User"})


class CodeVerificationFailed(ApiError):
    """400: a package is not signed as the function's code signing configuration enforces."""

    code, status = "CodeVerificationFailedException", 400

    def __init__(self, function_name: str) -> None:
        message = (
            "Lambda cannot deploy the function. The function or layer might be signed using a signature that "
            f"the client is not configured to accept. Check the provided signature for {function_name}."
        )
        super().__init__(message, fields={"Type": "User"})


class ResourceInUse(ApiError):
    """400: an event source mapping is on its way from one state to another."""

    code, status = "ResourceInUseException", 400

    def __init__(self, message: str) -> None:
        super().__init__(message, fields={"Type": "User"})


class UnreservedConcurrencyTooLow(ApiError):
    """400: too little of the account's concurrency would stay unreserved. Without a `Type`."""

    code, status = "InvalidParameterValueException", 400

    def __init__(self, parameter: str, minimum: int) -> None:
        super().__init__(
            f"Specified {parameter} for function decreases account's UnreservedConcurrentExecution below "
            f"its minimum value of [{minimum}]."
        )


class ConcurrencyBeyondUnreserved(ApiError):
    """400: more provisioned concurrency than the account has unreserved. Without a `Type`."""

    code, status = "InvalidParameterValueException", 400

    def __init__(self, unreserved: int) -> None:
        super().__init__(
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
            f"[{unreserved}]."
        )


class ProvisionedConcurrencyConfigNotFound(ApiError):
    """404: nothing is provisioned for this version or alias."""

    code, status = "ProvisionedConcurrencyConfigNotFoundException", 404

    def __init__(self) -> None:
        super().__init__("No Provisioned Concurrency Config found for this function", fields={"Type": "User"})


class PolicyLengthExceeded(ApiError):
    """400: a resource's policy would be too long."""

    code, status = "PolicyLengthExceededException", 400

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        message = f"The final policy size ({size_bytes}) is bigger than the limit ({limit_bytes})."
        super().__init__(message, fields={"Type": "User"})


class TooManyRequests(ApiError):
    """429 with a `Reason` of the model's ThrottleReason."""

    code, status = "TooManyRequestsException", 429

    def __init__(self, reason: str, *, retry_after_s: int | None = None) -> None:
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        super().__init__("Rate Exceeded.", fields={"Reason": reason, "Type": "User"}, headers=headers)
        self.reason = reason


# --- CloudWatch Logs (API reference, the Errors section of each operation; all are 400)


class InvalidParameter(ApiError):
    """400: a parameter that the service cannot use."""

    code, status = "InvalidParameterException", 400


class LogResourceNotFound(ApiError):
    """400, not 404: no such log group or stream."""

    code, status = "ResourceNotFoundException", 400

    def __init__(self, kind: str) -> None:
        super().__init__(f"The specified {kind} does not exist.")


class LogResourceAlreadyExists(ApiError):
    """400: a log group or stream of this name exists. Its text ends without a full stop, as AWS's does."""

    code, status = "ResourceAlreadyExistsException", 400

    def __init__(self, kind: str) -> None:
        super().__init__(f"The specified {kind} already exists")


class TooManyTags(ApiError):
    """400: a log group would have more tags than it may."""

    code, status = "TooManyTagsException", 400

    def __init__(self, limit: int) -> None:
        super().__init__(f"A log group can have no more than {limit} tags.")


class InvalidLogResourceArn(ApiError):
    """400: not the ARN of a log group. Not a `ValidationException`, which CloudWatch Logs calls otherwise."""

    code, status = "ValidationException", 400

    def __init__(self) -> None:
        super().__init__("Invalid resourceArn")


# --- policy documents (IAM, STS and services with resource policies; texts in iam/document.py)


class MalformedPolicyDocument(ApiError):
    """400: a policy document that cannot be read or says what it may not."""

    code, status = "MalformedPolicyDocument", 400
