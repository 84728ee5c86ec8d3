"""Constraint violations in AWS's words."""

import json
from pathlib import Path
from typing import Any

import pytest

from squib.gateway.models import ServiceModels
from squib.gateway.wire import validate

CASES = json.loads((Path(__file__).parents[2] / "cases" / "validation.json").read_text())["cases"]
MODELS = ServiceModels()


def found(service: str, operation: str, given: dict[str, Any]) -> list[str]:
    model = MODELS.get(service)
    shape = model.input_shape(operation)
    assert shape is not None
    return validate.violations(model, shape, given)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_violations_in_awss_words(case: dict[str, Any]) -> None:
    assert validate.message(found(case["service"], case["operation"], case["input"])) == case["message"]


@pytest.mark.parametrize(
    ("service", "operation", "given"),
    [
        ("lambda", "Invoke", {"FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:f:$LATEST"}),
        ("lambda", "Invoke", {"FunctionName": "000000000000:function:f", "Qualifier": "$LATEST"}),
        ("lambda", "ListFunctions", {}),
        ("lambda", "UpdateFunctionConfiguration", {"FunctionName": "f", "Runtime": "cobol74"}),
        (
            "lambda",
            "TagResource",
            {"Resource": "arn:aws:lambda:eu-west-1:000000000000:function:f", "Tags": {}},
        ),
        ("sts", "GetCallerIdentity", {}),
        ("logs", "GetLogEvents", {"logGroupName": "/aws/lambda/f", "logStreamName": "2026/11/01/[1]ab"}),
    ],
)
def test_valid_inputs_have_no_violation(service: str, operation: str, given: dict[str, Any]) -> None:
    assert found(service, operation, given) == []
