"""The errors of IAM and STS: codes, statuses and texts (API reference, "Errors" of each operation)."""

from squib.model.errors import ApiError


class NoSuchEntity(ApiError):
    """404: what the request names does not exist."""

    code, status = "NoSuchEntityException", 404


class EntityAlreadyExists(ApiError):
    """409: there is one of this name."""

    code, status = "EntityAlreadyExistsException", 409


class DeleteConflict(ApiError):
    """409: something still hangs on it."""

    code, status = "DeleteConflictException", 409


class LimitExceeded(ApiError):
    """409: beyond a quota of the account or the entity."""

    code, status = "LimitExceededException", 409


class InvalidInput(ApiError):
    """400: a value that IAM cannot use."""

    code, status = "InvalidInputException", 400


class PackedPolicyTooLarge(ApiError):
    """400: session policies and tags pass what a session token can hold."""

    code, status = "PackedPolicyTooLargeException", 400


class InvalidIdentityToken(ApiError):
    """400: a web identity token that cannot be validated."""

    code, status = "InvalidIdentityTokenException", 400


class ExpiredIdentityToken(ApiError):
    """400: a web identity token past its end."""

    code, status = "ExpiredTokenException", 400


class IdentityProviderUnreachable(ApiError):
    """400: the issuer's keys could not be had."""

    code, status = "IDPCommunicationErrorException", 400


class InvalidAuthorizationMessage(ApiError):
    """400: not a message that this squib has encoded."""

    code, status = "InvalidAuthorizationMessageException", 400

    def __init__(self) -> None:
        super().__init__("Message is not valid.")
