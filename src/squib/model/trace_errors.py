"""What X-Ray refuses (API reference, "Errors" of each operation)."""

from squib.model.errors import ApiError


class InvalidTraceRequest(ApiError):
    """A value that is out of bounds, or none at all."""

    code, status = "InvalidRequestException", 400
