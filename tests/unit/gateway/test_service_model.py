"""Decoding, routes and patterns, over the models that botocore ships."""

import pytest

from squib.gateway.models import SERVICES, ServiceModels, read_model_file
from squib.gateway.wire import invoke
from squib.gateway.wire.service_model import Routes, ServiceModel, compile_pattern
from squib.model.errors import PlatformError

MODELS = ServiceModels()
LAMBDA = MODELS.get("lambda")


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_every_model_compiles(service: str) -> None:
    patterns = {shape.pattern for shape in MODELS.get(service).shapes.values() if shape.pattern}
    assert patterns or service == "sqs"  # whose model has none
    for pattern in patterns:
        assert compile_pattern(pattern).pattern


def test_every_lambda_operation_is_found_by_its_own_method_and_path() -> None:
    for name, operation in LAMBDA.operations.items():
        path, _, query = operation.http.request_uri.partition("?")
        labels: dict[str, str] = {}
        for segment in path.split("/"):
            if segment.startswith("{"):
                labels[segment[1:-1]] = f"a b{len(labels)}"
                path = path.replace(segment, f"a%20b{len(labels) - 1}")
        more = f"Marker=x&{query}" if query else ""
        assert LAMBDA.routes.find(operation.http.method, path, more) == (name, labels)


def test_paths_of_older_sdks_end_in_a_slash() -> None:
    assert LAMBDA.routes.find("GET", "/2015-03-31/functions/", "") == ("ListFunctions", {})


def test_a_label_keeps_an_encoded_slash() -> None:
    found = LAMBDA.routes.find("GET", "/2017-03-31/tags/arn%3Aaws%3Alambda%2Fx", "")
    assert found == ("ListTags", {"Resource": "arn:aws:lambda/x"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/2015-03-31"),
        ("PATCH", "/2015-03-31/functions"),
        ("GET", "/2015-03-31/functions/f/nothing"),
        ("GET", "/2015-03-31/functions/f/configuration/more"),
        ("PUT", "/2015-03-31/functions/f"),
    ],
)
def test_what_is_no_operation_is_not_found(method: str, path: str) -> None:
    assert LAMBDA.routes.find(method, path, "") is None


def test_greedy_labels_are_refused_at_once() -> None:
    raw = b"""{"metadata": {"protocol": "rest-json", "apiVersion": "1"}, "shapes": {}, "operations":
        {"Get": {"name": "Get", "http": {"method": "GET", "requestUri": "/{Key+}"}}}}"""
    with pytest.raises(ValueError, match="greedy"):
        Routes(ServiceModel("x", raw).operations)


def test_unicode_classes_of_java_patterns() -> None:
    pattern = compile_pattern(r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)")
    assert pattern.fullmatch("größe 名前\u2028٣_.:/=+-@")
    assert not pattern.fullmatch("tab\there")
    assert not pattern.fullmatch("semi;colon")


def test_digits_of_patterns_are_ascii() -> None:
    assert not compile_pattern(r"\d{3}").fullmatch("١٢٣")


def test_a_service_without_a_model_is_our_fault() -> None:
    with pytest.raises(PlatformError, match="no model of nothing"):
        read_model_file("nothing")


@pytest.mark.parametrize("segment", ["", ".", ".."])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_segments_that_are_not_signed_name_nothing(method: str, segment: str) -> None:
    end = "configuration" if method == "GET" else "invocations"
    path = f"/2015-03-31/functions/{segment}/{end}"
    assert LAMBDA.routes.find(method, path, "") is None
    assert invoke.function_label(method, path) is None
    assert LAMBDA.routes.find("GET", f"/2015-03-31/{segment}/functions/f", "") is None
    assert LAMBDA.routes.find("GET", f"/2015-03-31/functions/{segment}/", "") is None
