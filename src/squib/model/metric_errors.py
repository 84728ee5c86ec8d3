"""What CloudWatch refuses (API reference of GetMetricData, GetMetricStatistics, ListMetrics)."""

from squib.model.errors import ApiError


class InvalidMetricParameter(ApiError):
    """A value that is out of bounds, or none at all."""

    code, status = "InvalidParameterValueException", 400


class InvalidMetricCombination(ApiError):
    """Parameters that do not go together."""

    code, status = "InvalidParameterCombinationException", 400


class MissingMetricParameter(ApiError):
    """Something must be given."""

    code, status = "MissingRequiredParameterException", 400


class InvalidMetricToken(ApiError):
    """NextToken is none that was given out."""

    code, status = "InvalidNextToken", 400

    def __init__(self) -> None:
        super().__init__("The next token specified is invalid.")
