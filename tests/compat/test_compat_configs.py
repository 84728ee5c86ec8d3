"""Settings that hang on functions, as the AWS SDK sees them, and what they do to invocations."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore
import botocore.config
import pytest
from botocore.exceptions import ClientError

from harness.functions import Function
from harness.squib import Squib, unique_name

SLOW = "import time\n\ndef handler(event, context):\n    time.sleep(event)\n    return event\n"


def throttled(function: Function) -> str:
    """The reason for which an invocation is throttled."""
    with pytest.raises(ClientError) as refused:
        function.invoke(0)
    answer = refused.value.response
    assert answer["Error"]["Code"] == "TooManyRequestsException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 429
    reason: str = answer["Reason"]
    return reason


def test_reserved_concurrency_takes_effect_with_its_answer(squib: Squib) -> None:
    client, function = squib.client(), squib.deploy(SLOW)
    reserved = "ReservedFunctionConcurrentInvocationLimitExceeded"
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    assert throttled(function) == reserved
    client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=1)
    assert function.invoke(0).value == 0
    with ThreadPoolExecutor(4) as callers:

        def attempt(_: int) -> Any:
            try:
                return function.invoke(1).value
            except ClientError as error:
                return error.response["Reason"]

        answers = list(callers.map(attempt, range(4)))
    assert sorted(answers, key=str) == [1, reserved, reserved, reserved]
    assert function.invoke(0).value == 0, "a lease was not given back"
    client.delete_function_concurrency(FunctionName=function.name)
    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(lambda _: function.invoke(0.2).value, range(4))) == [0.2] * 4


def test_reserved_concurrency_outlives_a_restart() -> None:
    with Squib() as squib:
        function = squib.deploy(SLOW)
        squib.client().put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
        squib.stop()
        squib.start()
        again = Function(squib.client(), function.name, function.arn)
        assert throttled(again) == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_policy_and_revisions_go_the_way_of_the_sdk(squib: Squib) -> None:
    client, function = squib.client(), squib.deploy(SLOW)
    given = {"FunctionName": function.name, "Action": "lambda:InvokeFunction"}
    client.add_permission(**given, StatementId="a", Principal="s3.amazonaws.com")
    policy = client.get_policy(FunctionName=function.name)
    document = json.loads(policy["Policy"])
    assert document["Statement"][0]["Resource"] == function.arn
    document["Statement"][0]["Sid"] = "b"
    put = client.put_resource_policy(
        ResourceArn=function.arn, Policy=json.dumps(document), RevisionId=policy["RevisionId"]
    )
    assert json.loads(put["Policy"]) == document
    client.remove_permission(FunctionName=function.name, StatementId="b", RevisionId=put["RevisionId"])
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_resource_policy(ResourceArn=function.arn)


def test_a_role_must_be_able_to_reach_destinations(squib: Squib) -> None:
    client, region, account = squib.client(), "eu-west-1", "000000000000"
    poor = squib.deploy(SLOW, Role=squib.role(unique_name("poor")))
    bucket = "arn:aws:s3:::bucket"
    for side, arn, action in (
        ("OnSuccess", f"arn:aws:sqs:{region}:{account}:q", "SendMessage"),
        ("OnFailure", f"arn:aws:sns:{region}:{account}:t", "Publish"),
        ("OnSuccess", squib.deploy(SLOW).arn, "InvokeFunction"),
        ("OnFailure", f"arn:aws:events:{region}:{account}:event-bus/default", "PutEvents"),
        ("OnFailure", bucket, "PutObject"),
    ):
        said = f"The function's execution role does not have permissions to call {action} on {arn}"
        with pytest.raises(client.exceptions.InvalidParameterValueException, match=re.escape(said)):
            client.put_function_event_invoke_config(
                FunctionName=poor.name, DestinationConfig={side: {"Destination": arn}}
            )
    may = ({"Action": "s3:PutObject", "Resource": f"{bucket}/*"},)
    able = squib.deploy(SLOW, Role=squib.role(unique_name("able"), allow=may))
    client.put_function_event_invoke_config(
        FunctionName=able.name, DestinationConfig={"OnFailure": {"Destination": bucket}}
    )
    put = client.put_function_event_invoke_config(FunctionName=poor.name, MaximumRetryAttempts=0)
    assert put["MaximumRetryAttempts"] == 0


def test_event_invoke_settings_come_in_pages(squib: Squib) -> None:
    client, function = squib.client(), squib.deploy(SLOW)
    client.publish_version(FunctionName=function.name)
    for qualifier in ("$LATEST", "1"):
        client.put_function_event_invoke_config(
            FunctionName=function.name, Qualifier=qualifier, MaximumRetryAttempts=0
        )
    pages = client.get_paginator("list_function_event_invoke_configs").paginate(
        FunctionName=function.name, PaginationConfig={"PageSize": 1}
    )
    found = [one["FunctionArn"] for page in pages for one in page["FunctionEventInvokeConfigs"]]
    assert found == [f"{function.arn}:$LATEST", f"{function.arn}:1"]


NOT_BUILT: list[tuple[str, dict[str, Any]]] = [
    ("PutFunctionScalingConfig", {"FunctionName": "f", "Qualifier": "1", "FunctionScalingConfig": {}}),
    ("GetFunctionScalingConfig", {"FunctionName": "f", "Qualifier": "1"}),
    ("ListCapacityProviders", {}),
    ("GetCapacityProvider", {"CapacityProviderName": "provider"}),
    ("ListDurableExecutionsByFunction", {"FunctionName": "f"}),
    ("GetDurableExecution", {"DurableExecutionArn": "arn"}),
    ("SendDurableExecutionCallbackSuccess", {"CallbackId": "callback"}),
]


@pytest.mark.parametrize(("operation", "given"), NOT_BUILT)
def test_what_is_not_built_is_refused_by_its_name(
    squib: Squib, operation: str, given: dict[str, Any]
) -> None:
    client = squib.client(config=botocore.config.Config(parameter_validation=False))
    method = botocore.xform_name(operation)
    with pytest.raises(ClientError) as refused:
        getattr(client, method)(**given)
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert answer["Error"]["Message"] == f"squib does not implement lambda:{operation} yet."
