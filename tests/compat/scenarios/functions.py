"""Functions: created, read, updated, listed, deleted, and refused."""

import json
import random
import re
from typing import Any

from compat.scenarios.scene import CODE, OTHER_CODE, Scene, scenario, slow_code
from harness.functions import ROLE, zip_of
from harness.squib import unique_name

_F = "TestLambdaFunction::"


@scenario(f"{_F}test_function_lifecycle")
def lifecycle(scene: Scene) -> None:
    name = scene.deployed("create_response", MemorySize=256, Timeout=5)
    scene.ask("get_function_response", "get_function", FunctionName=name)
    scene.ask(
        "update_func_conf_response",
        "update_function_configuration",
        FunctionName=name,
        Runtime=scene.runtime("python3.11"),
        Description="Changed-Description",
        MemorySize=512,
        Timeout=10,
        Environment={"Variables": {"ENV_A": "a"}},
    )
    scene.settle(name)
    scene.ask("get_function_response_postupdate", "get_function", FunctionName=name)
    scene.ask("update_code_response", "update_function_code", FunctionName=name, ZipFile=OTHER_CODE)
    scene.settle(name)
    scene.ask("get_function_response_postcodeupdate", "get_function", FunctionName=name)
    scene.ask("delete_response", "delete_function", FunctionName=name)
    scene.ask("delete_postdelete", "delete_function", FunctionName=name)


@scenario(f"{_F}test_redundant_updates")
def redundant_updates(scene: Scene) -> None:
    name = scene.deployed("create_response", Description="Initial description")
    update = {"FunctionName": name, "Description": "1st update description"}
    scene.ask("first_update_result", "update_function_configuration", **update)
    scene.settle(name)
    scene.ask("get_fn_config_result", "get_function_configuration", FunctionName=name)
    scene.ask("get_fn_result", "get_function", FunctionName=name)
    scene.ask("redundant_update_result", "update_function_configuration", **update)
    scene.settle(name)
    scene.ask("get_fn_result_after_redundant_update", "get_function", FunctionName=name)


@scenario(
    *(
        f"{_F}test_ops_with_arn_qualifier_mismatch[{operation}]"
        for operation in ("delete_function", "get_function", "get_function_configuration")
    )
)
def qualifier_beside_arn(scene: Scene) -> None:
    arn = scene.arn("some-function", "$LATEST")
    scene.ask("not_match_exception", scene.parameter, FunctionName=arn, Qualifier="1")
    scene.ask("match_exception", scene.parameter, FunctionName=arn, Qualifier="$LATEST")


@scenario(
    *(
        f"{_F}test_ops_on_nonexisting_version[{operation}]"
        for operation in ("get_function", "get_function_configuration", "get_function_event_invoke_config")
    )
)
def missing_version(scene: Scene) -> None:
    name = scene.function()
    scene.ask("version_not_found_exception", scene.parameter, FunctionName=name, Qualifier="1221")


@scenario(f"{_F}test_delete_on_nonexisting_version")
def delete_missing_version(scene: Scene) -> None:
    name = unique_name("scene")
    scene.ask("delete_function_response_non_existent", "delete_function", FunctionName=name)
    answer = "delete_function_response_non_existent_with_qualifier"
    scene.ask(answer, "delete_function", FunctionName=name, Qualifier="1221")


_READ = (
    "get_function",
    "get_function_configuration",
    "get_function_url_config",
    "get_function_code_signing_config",
    "get_function_event_invoke_config",
    "get_function_concurrency",
    "delete_function",
)


@scenario(*(f"{_F}test_ops_on_nonexisting_fn[{operation}]" for operation in _READ))
def missing_function(scene: Scene) -> None:
    scene.ask("not_found_exception", scene.parameter, FunctionName=unique_name("missing"))


@scenario(*(f"{_F}test_get_function_wrong_region[{operation}]" for operation in (*_READ, "invoke")))
def function_elsewhere(scene: Scene) -> None:
    arn = scene.arn("some-function").replace(scene.region, "eu-central-1")
    scene.ask("wrong_region_exception", scene.parameter, FunctionName=arn)


@scenario(f"{_F}test_lambda_code_location_zipfile")
def code_location(scene: Scene) -> None:
    name = scene.function("create-response-zip-file")
    scene.ask("get-function-response", "get_function", FunctionName=name)
    scene.ask("update-function-response", "update_function_code", FunctionName=name, ZipFile=slow_code())
    scene.ask("get-function-response-updated", "get_function", FunctionName=name)


@scenario(f"{_F}test_create_lambda_exceptions")
def create_refused(scene: Scene) -> None:
    def create(answer: str, **given: Any) -> None:
        parameters = {
            "FunctionName": unique_name("refused"),
            "Role": ROLE,
            "Runtime": "python3.12",
            "Handler": "index.handler",
            "Code": {"ZipFile": CODE},
        }
        scene.ask(answer, "create_function", **{**parameters, **given})

    create("invalid_role_arn_exc", Role="r1")
    create("invalid_runtime_exc", Runtime="non-existent-runtime")
    create("uppercase_runtime_exc", Runtime="PYTHON3.9")
    create("empty_architectures", Architectures=[])
    create("multiple_architectures", Architectures=["x86_64", "arm64"])
    create("uppercase_architecture", Architectures=["X86_64"])
    create("invalid_zip_exc", Code={"ZipFile": b"this is not a zip file"})


@scenario(f"{_F}test_update_lambda_exceptions")
def update_refused(scene: Scene) -> None:
    name = scene.function()
    update = "update_function_configuration"
    scene.ask("invalid_role_arn_exc", update, FunctionName=name, Role="r1")
    scene.ask("invalid_runtime_exc", update, FunctionName=name, Runtime="non-existent-runtime")
    scene.ask("uppercase_runtime_exc", update, FunctionName=name, Runtime="PYTHON3.9")


@scenario(f"{_F}test_list_functions")
def listing(scene: Scene) -> None:
    first = scene.deployed("create_response_1", Publish=True)
    second = scene.deployed("create_response_2", Code={"ZipFile": OTHER_CODE})
    answer = "list_functions_invalid_functionversion"
    scene.ask(answer, "list_functions", FunctionVersion="invalid")

    def listed(**given: Any) -> dict[str, Any]:
        pages = scene.client().get_paginator("list_functions").paginate(**given)
        found = [item for page in pages for item in page["Functions"]]
        ours = [item for item in found if item["FunctionName"] in (first, second)]
        return {
            "Functions": sorted(ours, key=lambda item: (item["FunctionName"] != first, item["FunctionArn"]))
        }

    scene.compare("list_all", listed(FunctionVersion="ALL"))
    scene.compare("list_default", listed())


@scenario(f"{_F}test_function_arns")
def name_forms(scene: Scene) -> None:
    name = unique_name("scene")
    scene.deployed("create-function-arn-response", name=scene.arn(name))
    partial = unique_name("scene")
    scene.deployed(
        "create-function-partial-arn-response",
        name=f"{scene.account_id}:function:{partial}",
        Code={"ZipFile": OTHER_CODE},
    )
    for answer, refused in (
        ("invalid_function_name_exc", "invalid:function:name"),
        ("long_function_name_exc", "a" * 65),
        ("long_function_arn_exc", scene.arn("a" * 100)),
        ("function_arn_other_region_exc", scene.arn("some").replace(scene.region, "ap-southeast-1")),
        ("function_arn_other_account_exc", scene.arn("some").replace(scene.account_id, "222222222222")),
    ):
        scene.function(answer, name=refused, waits=False)


@scenario(f"{_F}test_invalid_invoke")
def invoke_of_no_name(scene: Scene) -> None:
    name = f"arn:aws:lambda:{scene.region}:123400000000@function:myfn"
    scene.ask("invoke_function_name_pattern_exc", "invoke", FunctionName=name)


@scenario(f"{_F}test_lambda_concurrent_code_updates")
def code_updates_at_once(scene: Scene) -> None:
    name = scene.function("create-function-response", Handler="handler.handler")
    scene.ask(None, "update_function_code", FunctionName=name, ZipFile=slow_code())
    answer = "update-during-in-progress-update-exc"
    scene.ask(answer, "update_function_code", FunctionName=name, ZipFile=OTHER_CODE)


@scenario(f"{_F}test_lambda_concurrent_config_updates")
def configuration_updates_at_once(scene: Scene) -> None:
    name = scene.deployed("create-function-response")
    scene.ask(None, "update_function_code", FunctionName=name, ZipFile=slow_code())
    answer = "update-during-in-progress-update-exc"
    scene.ask(answer, "update_function_configuration", FunctionName=name, Description="second")


def _in_vpc(subnet: str, group: str) -> dict[str, Any]:
    return {"VpcConfig": {"SubnetIds": [subnet], "SecurityGroupIds": [group]}}


@scenario(f"{_F}test_vpc_config")
def in_a_vpc(scene: Scene) -> None:
    first = _in_vpc("subnet-0123456789abcdef0", "sg-0123456789abcdef0")
    second = _in_vpc("subnet-0123456789abcdef1", "sg-0123456789abcdef1")
    none = {"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": []}}
    name = scene.deployed("create_response", MemorySize=256, Timeout=5, **first)
    scene.ask("get_function_response", "get_function", FunctionName=name)
    for step, changed in (("update", second), ("delete", none)):
        answer = f"{step}_vpcconfig_update_response"
        scene.ask(answer, "update_function_configuration", FunctionName=name, **changed)
        scene.settle(name)
        scene.ask(f"{step}_vpcconfig_get_function_response", "get_function", FunctionName=name)


@scenario(f"{_F}test_invalid_vpc_config_subnet")
def unknown_subnet(scene: Scene) -> None:
    for answer, subnet in (
        ("create-response-non-existent-subnet-id", "subnet-0123456789abcdeff"),
        ("create-response-invalid-format-subnet-id", "bad-format"),
    ):
        scene.deployed(answer, waits=False, **_in_vpc(subnet, "sg-0123456789abcdef0"))


@scenario(f"{_F}test_invalid_vpc_config_security_group")
def unknown_security_group(scene: Scene) -> None:
    for answer, group in (
        ("create-response-non-existent-security-group", "sg-0123456789abcdeff"),
        ("create-response-invalid-format-security-group", "bad-format"),
    ):
        scene.deployed(answer, waits=False, **_in_vpc("subnet-0123456789abcdef0", group))


@scenario("TestLambdaImages::test_lambda_zip_file_to_image")
def archive_to_image(scene: Scene) -> None:
    name = scene.function("create-image-response", Handler="handler.handler")
    for suffix in ("", "-after-update"):
        if suffix:
            image = f"{scene.account_id}.dkr.ecr.{scene.region}.amazonaws.com/images:latest"
            scene.ask("zipfile-to-image-error", "update_function_code", FunctionName=name, ImageUri=image)
        scene.ask(f"get-function-code-response{suffix}", "get_function", FunctionName=name)
        scene.ask(f"get-function-config-response{suffix}", "get_function_configuration", FunctionName=name)


# --- revisions


_R = "TestLambdaRevisions::"


@scenario(f"{_R}test_function_revisions_basic")
def revisions(scene: Scene) -> None:
    name = scene.deployed("create_function_response_rev1", Handler="index.handler")
    live = scene.ask("get_function_response_rev2", "get_function", FunctionName=name)
    code = {"FunctionName": name, "ZipFile": CODE}
    scene.ask("update_function_revision_exception", "update_function_code", **code, RevisionId="wrong")
    latest = live["Configuration"]["RevisionId"]
    scene.ask("update_function_code_response_rev3", "update_function_code", **code, RevisionId=latest)
    scene.settle(name)
    live = scene.ask("get_function_response_rev4", "get_function", FunctionName=name)
    configuration = {"FunctionName": name, "Runtime": scene.runtime("python3.8")}
    answer = "update_function_configuration_revision_exception"
    scene.ask(answer, "update_function_configuration", **configuration, RevisionId="wrong")
    scene.ask(
        "update_function_configuration_response_rev5",
        "update_function_configuration",
        **configuration,
        RevisionId=live["Configuration"]["RevisionId"],
    )
    scene.settle(name)
    scene.ask("get_function_response_rev6", "get_function", FunctionName=name)


# --- sizes


_S = "TestLambdaSizeLimits::"


def _too_large(scene: Scene) -> None:
    """An archive that unpacks to more than 250 MB."""
    code = zip_of({f"zeros-{number}": bytes(54_000_000) for number in range(5)})
    scene.function("invalid_param_exc", waits=False, Code={"ZipFile": code})


scenario(f"{_S}test_oversized_lambda", f"{_S}test_oversized_unzipped_lambda")(_too_large)


@scenario(f"{_S}test_large_lambda")
def large(scene: Scene) -> None:
    code = zip_of({"handler.py": "def handler(event, context): pass\n", "zeros": bytes(200_000_000)})
    answer = "create_function_large_zip"
    scene.function(answer, Handler="handler.handler", Timeout=10, Code={"ZipFile": code})


def _incompressible(size_bytes: int) -> bytes:
    return random.Random(1).randbytes(size_bytes)


@scenario(f"{_S}test_oversized_request_create_lambda")
def oversized_request(scene: Scene) -> None:
    code = zip_of({"noise": _incompressible(55_000_000)})
    scene.function("invalid_param_exc", waits=False, Code={"ZipFile": code})


@scenario(f"{_S}test_oversized_zipped_create_lambda")
def oversized_archive(scene: Scene) -> None:
    code = zip_of({"noise": _incompressible(52_428_800)})
    scene.function("invalid_param_exc", waits=False, Code={"ZipFile": code})


@scenario(f"{_S}test_large_environment_variables_fails")
def large_variable(scene: Scene) -> None:
    _with_variables(scene, "failed_create_fn_result", {})


@scenario(f"{_S}test_large_environment_fails_multiple_keys")
def large_variables(scene: Scene) -> None:
    _with_variables(scene, "failured_create_fn_result_multi_key", {"SMALL_VAR": "ok"})


@scenario(f"{_S}test_lambda_envvars_near_limit_succeeds")
def variables_near_limit(scene: Scene) -> None:
    _with_variables(scene, "successful_create_fn_result", {})


def _with_variables(scene: Scene, answer: str, small: dict[str, str]) -> None:
    size = max(map(len, re.findall("x+", json.dumps(scene.recorded(answer)))))
    variables = {**small, "LARGE_VAR": "x" * size}
    scene.deployed(answer, waits=False, Environment={"Variables": variables})


# --- logging


_L = "TestLoggingConfig::"
_ADVANCED = {"LogFormat": "JSON"}


@scenario(f"{_L}test_function_advanced_logging_configuration")
def advanced_logging(scene: Scene) -> None:
    levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
    name = _logging_function(scene, LoggingConfig={**_ADVANCED, **levels})
    _logging_update(scene, name, {**_ADVANCED, **levels, "LogGroup": "cool_lambda"})


@scenario(f"{_L}test_advanced_logging_configuration_format_switch")
def logging_format_switch(scene: Scene) -> None:
    name = _logging_function(scene)
    _logging_update(scene, name, _ADVANCED)
    _logging_update(scene, name, {"LogFormat": "Text"}, "_v2")


_PARTIAL = (
    {"LogFormat": "JSON"},
    {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"},
    {"LogFormat": "JSON", "SystemLogLevel": "DEBUG"},
    {"LogGroup": "cool_lambda"},
)


@scenario(
    *(f"{_L}test_function_partial_advanced_logging_configuration_update[partial_config{n}]" for n in range(4))
)
def partial_logging(scene: Scene) -> None:
    name = _logging_function(scene)
    _logging_update(scene, name, _PARTIAL[int(scene.parameter[-1])])


def _logging_function(scene: Scene, **given: Any) -> str:
    name = scene.deployed("create_response", MemorySize=256, Timeout=5, **given)
    scene.ask("get_function_response", "get_function", FunctionName=name)
    scene.ask("function_config", "get_function_configuration", FunctionName=name)
    return name


def _logging_update(scene: Scene, name: str, logging: dict[str, str], suffix: str = "") -> None:
    update = "update_function_configuration"
    scene.ask(f"updated_config{suffix}", update, FunctionName=name, LoggingConfig=logging)
    scene.settle(name)
    scene.ask(f"received_config{suffix}", "get_function_configuration", FunctionName=name)


# --- runtimes


_RETIRED = ("java8", "go1.x", "provided", "ruby2.7", "nodejs14.x", "python3.7", "dotnetcore3.1", "nodejs12.x")


@scenario(
    *(
        f"TestRuntimeValidation::test_create_deprecated_function_runtime_with_validation_enabled[{runtime}]"
        for runtime in _RETIRED
    )
)
def retired_runtime(scene: Scene) -> None:
    given = {"Role": ROLE, "Handler": "index.handler", "Code": {"ZipFile": CODE}}
    name = unique_name("retired")
    scene.ask("deprecation_error", "create_function", FunctionName=name, Runtime=scene.parameter, **given)


@scenario(f"{_F}test_lambda_code_location_s3")
def code_in_s3(scene: Scene) -> None:
    bucket = unique_name("bucket")
    name = scene.function("create_response_s3", Code=scene.put_object(bucket, "code.zip", CODE))
    function = {"FunctionName": name}
    scene.ask("get-function-response", "get_function", **function)
    other = scene.put_object(bucket, "other.zip", slow_code())
    scene.ask("update-function-response", "update_function_code", **function, **other)
    scene.ask("get-function-response-updated", "get_function", **function)
    scene.settle(name)


@scenario(f"{_F}test_lambda_code_location_s3_errors")
def refused_by_s3(scene: Scene) -> None:
    bucket = unique_name("bucket")
    there = scene.put_object(bucket, "code.zip", CODE)
    wrong_bucket, wrong_key = {**there, "S3Bucket": "no-such-bucket"}, {**there, "S3Key": "none.zip"}
    function = {"FunctionName": scene.function(Code=there)}
    for answer, code in (("wrong-bucket", wrong_bucket), ("wrong-key", wrong_key)):
        scene.function(f"create-error-{answer}", Code=code)
        scene.ask(f"update-error-{answer}", "update_function_code", **function, **code)
