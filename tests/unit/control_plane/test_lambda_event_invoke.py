"""Settings of asynchronous invocations: replaced, merged, listed; destinations and refusals as recorded."""

from pathlib import Path
from typing import Any

import pytest
from lambda_harness import ACCOUNT, REGION, ControlPlane
from lambda_qualified import ARN, refused, with_function, without

from squib.model.event_invoke import EVENT_INVOKE_CONFIGS

NOWHERE = {"OnSuccess": {}, "OnFailure": {}}
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"
NO_FUNCTION = (404, "ResourceNotFoundException", "The function doesn't exist.")


def no_config(qualifier: str, arn: str = ARN) -> tuple[int, str, str]:
    message = f"The function {arn}:{qualifier} doesn't have an EventInvokeConfig"
    return 404, "ResourceNotFoundException", message


async def call(plane: ControlPlane, operation: str, **given: Any) -> dict[str, Any]:
    """Output of an operation on the configuration of `f`, without the time of its change."""
    given = {"FunctionName": "f", **given}
    output = (await plane.call(f"{operation}FunctionEventInvokeConfig", **given)).output
    if operation != "Delete":
        assert output["LastModified"].timestamp() * 1000 == plane.clock.now_ms()
    return without(output, "LastModified")


def test_put_replaces_and_update_merges(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        latest = {"FunctionArn": f"{ARN}:$LATEST", "DestinationConfig": NOWHERE}
        first = await call(plane, "Put", MaximumRetryAttempts=2, MaximumEventAgeInSeconds=60)
        assert first == {**latest, "MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 60}
        assert await call(plane, "Put", MaximumRetryAttempts=0) == {**latest, "MaximumRetryAttempts": 0}
        updated = await call(plane, "Update", MaximumEventAgeInSeconds=21_600, Qualifier="$LATEST")
        assert updated == {**latest, "MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 21_600}
        sent = {"OnSuccess": {"Destination": QUEUE}, "OnFailure": {"Destination": TOPIC}}
        assert (await call(plane, "Update", DestinationConfig=sent))["DestinationConfig"] == sent
        cleared = await call(plane, "Update", DestinationConfig={"OnSuccess": {}})
        assert cleared == {**updated, "DestinationConfig": {**NOWHERE, "OnFailure": {"Destination": TOPIC}}}
        assert await call(plane, "Get") == cleared
        assert await call(plane, "Put", DestinationConfig={"OnFailure": {}}) == latest

    with_function(tmp_path, use)


def test_version_and_alias_have_configurations_of_their_own(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for name, qualifier in (("f", None), ("f:1", None), (f"{ARN}:live", "live")):
            await call(plane, "Put", FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=1)
        listed = (await plane.call("ListFunctionEventInvokeConfigs", FunctionName="f")).output
        arns = [one["FunctionArn"] for one in listed["FunctionEventInvokeConfigs"]]
        assert arns == [f"{ARN}:$LATEST", f"{ARN}:1", f"{ARN}:live"]
        assert "NextMarker" not in listed
        shown, marker = [], None
        for _ in range(3):
            page = await plane.call(
                "ListFunctionEventInvokeConfigs", FunctionName="f", MaxItems=1, Marker=marker
            )
            shown += [one["FunctionArn"] for one in page.output["FunctionEventInvokeConfigs"]]
            marker = page.output.get("NextMarker")
        assert (shown, marker) == (arns, None)
        await call(plane, "Delete", Qualifier="1")
        assert await refused(call(plane, "Get", Qualifier="1")) == no_config("1")
        await plane.call("DeleteFunction", FunctionName="f")
        assert plane.store.collection(EVENT_INVOKE_CONFIGS).all() == ()

    with_function(tmp_path, use)


def test_what_does_not_exist_is_refused_in_the_recorded_words(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        other = f"{ARN[:-1]}doesnotexist"
        some = {"MaximumRetryAttempts": 1}
        for name in ("doesnotexist", other):
            assert await refused(call(plane, "Put", FunctionName=name, **some)) == NO_FUNCTION
        assert await refused(call(plane, "Put", Qualifier="gone", **some)) == NO_FUNCTION
        assert await refused(call(plane, "Put", Qualifier="2", **some)) == NO_FUNCTION
        assert await refused(call(plane, "Update", FunctionName="doesnotexist", **some)) == NO_FUNCTION
        assert await refused(call(plane, "Update", **some)) == no_config("$LATEST")
        assert await refused(call(plane, "Update", Qualifier="live", **some)) == no_config("live")
        for operation in ("Get", "Delete"):
            assert await refused(call(plane, operation)) == no_config("$LATEST")
            assert await refused(call(plane, operation, Qualifier="gone")) == no_config("gone")
            missing = call(plane, operation, FunctionName="doesnotexist")
            assert await refused(missing) == no_config("$LATEST", other)
        listed = plane.call("ListFunctionEventInvokeConfigs", FunctionName="doesnotexist")
        assert await refused(listed) == NO_FUNCTION

    with_function(tmp_path, use)


def test_something_has_to_be_set(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        message = "You must specify at least one of error handling or destination setting."
        assert (await refused(call(plane, "Put")))[1:] == ("InvalidParameterValueException", message)
        assert (await refused(call(plane, "Put", FunctionName="doesnotexist"))) == NO_FUNCTION

    with_function(tmp_path, use)


def test_an_outcome_can_go_to_another_function(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await plane.create("other")
        destinations = {"OnSuccess": {"Destination": f"{ARN[:-1]}other"}}
        put = await call(plane, "Put", DestinationConfig=destinations)
        assert put["DestinationConfig"] == {**destinations, "OnFailure": {}}

    with_function(tmp_path, use)


DESTINATIONS = [
    (f"{ARN[:-1]}doesnotexist", f"The destination ARN {ARN[:-1]}doesnotexist is invalid."),
    (ARN.replace(REGION, "eu-west-1"), f"The destination ARN {ARN.replace(REGION, 'eu-west-1')} is invalid."),
    (ARN, "You can't specify the function as a destination for itself."),
    (f"{ARN}:live", "You can't specify the function as a destination for itself."),
    (ARN.replace("lambda", "iam"),
     "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination="
     f"{ARN.replace('lambda', 'iam')}), onFailure=null) is invalid."),
    (f"{QUEUE}.fifo",
     f"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination={QUEUE}.fifo), "
     "onFailure=null) is invalid."),
    ("arn:aws:s3:::bucket",
     "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination="
     "arn:aws:s3:::bucket), onFailure=null) is invalid."),
]  # fmt: skip


@pytest.mark.parametrize(("arn", "message"), DESTINATIONS)
def test_outcome_that_could_go_nowhere_is_refused(arn: str, message: str, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        put = call(plane, "Put", DestinationConfig={"OnSuccess": {"Destination": arn}})
        assert await refused(put) == (400, "InvalidParameterValueException", message)
        assert await refused(call(plane, "Get")) == no_config("$LATEST")

    with_function(tmp_path, use)
