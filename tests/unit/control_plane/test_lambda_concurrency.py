"""Reserved and provisioned concurrency declared, their limits; recursion."""

from pathlib import Path

import msgspec
import pytest
from lambda_harness import ControlPlane
from lambda_qualified import ARN, F, refused, with_function

from squib.control_plane.lambda_ import LambdaOptions
from squib.model.alias import ALIASES, Alias, qualified_key
from squib.model.concurrency import PROVISIONED_CONCURRENCY, RESERVED_CONCURRENCY
from squib.model.function import VERSIONS, version_key
from squib.model.recursion import RECURSION_CONFIGS

FUNCTIONS_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this "
    "operation. Please specify either a function name or an unqualified function ARN."
)
BELOW_MINIMUM = (
    "Specified {} for function decreases account's UnreservedConcurrentExecution below its minimum "
    "value of [100]."
)


def test_reserved_concurrency_is_put_shown_and_deleted(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for executions in (0, 1):
            put = await plane.call(
                "PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=executions
            )
            assert put.output == {"ReservedConcurrentExecutions": executions}
        assert (await plane.call("GetFunctionConcurrency", FunctionName="f")).output == put.output
        assert (await plane.call("GetFunction", FunctionName="f")).output["Concurrency"] == put.output
        assert (await plane.call("DeleteFunctionConcurrency", FunctionName="f")).status == 204
        assert (await plane.call("GetFunctionConcurrency", FunctionName="f")).output == {}
        assert "Concurrency" not in (await plane.call("GetFunction", FunctionName="f")).output

    with_function(tmp_path, use)


def test_100_of_an_accounts_concurrency_stay_unreserved(tmp_path: Path) -> None:
    async def put(plane: ControlPlane, name: str, executions: int) -> None:
        await plane.call("PutFunctionConcurrency", FunctionName=name, ReservedConcurrentExecutions=executions)

    async def unreserved(plane: ControlPlane) -> int:
        limits = (await plane.call("GetAccountSettings")).output["AccountLimit"]
        assert limits["ConcurrentExecutions"] == 300
        left: int = limits["UnreservedConcurrentExecutions"]
        return left

    async def use(plane: ControlPlane) -> None:
        await plane.create("g")
        too_much = (
            400,
            "InvalidParameterValueException",
            BELOW_MINIMUM.format("ReservedConcurrentExecutions"),
        )
        assert await refused(put(plane, "f", 1_000)) == too_much
        assert await unreserved(plane) == 300
        await put(plane, "f", 150)
        assert await refused(put(plane, "g", 51)) == too_much
        await put(plane, "g", 50)
        await put(plane, "f", 150)
        assert await refused(put(plane, "f", 151)) == too_much
        assert await unreserved(plane) == 100
        await plane.call("DeleteFunction", FunctionName="f")
        assert await unreserved(plane) == 250

    with_function(tmp_path, use, LambdaOptions(account_concurrency=300))


@pytest.mark.parametrize(
    "operation", ["PutFunctionConcurrency", "GetFunctionConcurrency", "DeleteFunctionConcurrency"]
)
def test_only_existing_functions_as_a_whole_have_reserved_concurrency(operation: str, tmp_path: Path) -> None:
    given = {"ReservedConcurrentExecutions": 100_000} if operation.startswith("Put") else {}

    async def use(plane: ControlPlane) -> None:
        assert await refused(plane.call(operation, FunctionName="doesnotexist", **given)) == (
            404,
            "ResourceNotFoundException",
            f"Function not found: {ARN[:-1]}doesnotexist:$LATEST",
        )
        for name in (f"{ARN}:1", "f:live"):
            assert await refused(plane.call(operation, FunctionName=name, **given)) == (
                400,
                "InvalidParameterValueException",
                FUNCTIONS_ONLY,
            )

    with_function(tmp_path, use)


NOT_PUBLISHED = "The function resource provided must be an alias or a published version."
NO_CONFIG = "No Provisioned Concurrency Config found for this function"


@pytest.mark.parametrize("qualifier", ["1", "live"])
def test_provisioned_concurrency_is_answered_truthfully(qualifier: str, tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        given = {"FunctionName": "f", "Qualifier": qualifier}
        assert await refused(plane.call("GetProvisionedConcurrencyConfig", **given)) == (
            404,
            "ProvisionedConcurrencyConfigNotFoundException",
            NO_CONFIG,
        )
        assert (await plane.call("DeleteProvisionedConcurrencyConfig", **given)).status == 204
        listed = await plane.call("ListProvisionedConcurrencyConfigs", FunctionName="f")
        assert listed.output == {"ProvisionedConcurrencyConfigs": []}
        put = await plane.call("PutProvisionedConcurrencyConfig", **given, ProvisionedConcurrentExecutions=1)
        shape = {
            "RequestedProvisionedConcurrentExecutions": 1,
            "AvailableProvisionedConcurrentExecutions": 0,
            "AllocatedProvisionedConcurrentExecutions": 0,
            "Status": "IN_PROGRESS",
            "LastModified": "2026-01-01T00:00:00+0000",
        }
        assert (put.status, put.output) == (202, shape)
        assert (await plane.call("GetProvisionedConcurrencyConfig", **given)).output == shape
        listed = await plane.call("ListProvisionedConcurrencyConfigs", FunctionName="f")
        arn = f"{ARN}:{qualifier}"
        assert listed.output == {"ProvisionedConcurrencyConfigs": [{"FunctionArn": arn, **shape}]}
        other = "live" if qualifier == "1" else "1"
        assert (await refused(_provision(plane, other, 1)))[:2] == (409, "ResourceConflictException")
        assert (await plane.call("DeleteProvisionedConcurrencyConfig", **given)).status == 204
        assert plane.store.collection(PROVISIONED_CONCURRENCY).all() == ()
        await _provision(plane, other, 1)

    with_function(tmp_path, use)


@pytest.mark.parametrize("operation", ["Put", "Get", "Delete"])
def test_nothing_is_provisioned_for_what_does_not_exist(operation: str, tmp_path: Path) -> None:
    executions = {"ProvisionedConcurrentExecutions": 1} if operation == "Put" else {}

    async def use(plane: ControlPlane) -> None:
        async def attempt(name: str, qualifier: str) -> tuple[int, str, str]:
            return await refused(
                plane.call(
                    f"{operation}ProvisionedConcurrencyConfig",
                    FunctionName=name,
                    Qualifier=qualifier,
                    **executions,
                )
            )

        other = f"{ARN[:-1]}doesnotexist"
        for name, arn in (("f", ARN), ("doesnotexist", other)):
            assert (await attempt(name, "no"))[1:] == (
                "ResourceNotFoundException",
                f"Cannot find alias arn: {arn}:no",
            )
            assert (await attempt(name, "10"))[2] == f"Function not found: {arn}:10"
        assert await attempt("f", "$LATEST") == (
            400,
            "InvalidParameterValueException",
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            if operation == "Put"
            else NOT_PUBLISHED,
        )

    with_function(tmp_path, use)


def test_provisioned_concurrency_has_to_fit(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        async def put(executions: int, qualifier: str = "1") -> str:
            return (await refused(_provision(plane, qualifier, executions)))[2]

        assert await put(301) == (
            "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
            "[300]."
        )
        assert await put(201) == BELOW_MINIMUM.format("ConcurrentExecutions")
        await _provision(plane, "1", 200)
        await _provision(plane, "1", 200)  # in place of those
        limits = (await plane.call("GetAccountSettings")).output["AccountLimit"]
        assert limits["UnreservedConcurrentExecutions"] == 100
        await _provision(plane, "1", 3)
        await plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=5)
        assert "not be greater than the reservedConcurrentExecution" in await put(6)
        await _provision(plane, "1", 5)
        fewer = plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=4)
        assert "[5]" in (await refused(fewer))[2]
        weighted = Alias(
            function=F, name="two", function_version="1", weights={"2": 0.5}, revision_id="revision"
        )
        await plane.store.write(lambda tx: tx.put(ALIASES, qualified_key(F, "two"), weighted))
        assert "weights" in await put(1, "two")

    with_function(tmp_path, use, LambdaOptions(account_concurrency=300))


async def _provision(plane: ControlPlane, qualifier: str, executions: int) -> None:
    await plane.call(
        "PutProvisionedConcurrencyConfig",
        FunctionName="f",
        Qualifier=qualifier,
        ProvisionedConcurrentExecutions=executions,
    )


def test_an_alias_with_provisioned_concurrency_points_to_one_version_that_has_none(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        await _provision(plane, "live", 1)
        await _publish(plane, "2")
        await _provision(plane, "2", 1)
        update = {"FunctionName": "f", "Name": "live"}
        routing = {"AdditionalVersionWeights": {"2": 0.5}}
        for change, code in (
            ({"FunctionVersion": "2"}, "ResourceConflictException"),
            ({"RoutingConfig": routing}, "InvalidParameterValueException"),
            ({"FunctionVersion": "$LATEST"}, "InvalidParameterValueException"),
        ):
            assert (await refused(plane.call("UpdateAlias", **update, **change)))[1] == code
        await plane.call("DeleteProvisionedConcurrencyConfig", FunctionName="f", Qualifier="2")
        await plane.call("UpdateAlias", **update, FunctionVersion="2")

    with_function(tmp_path, use)


def test_provisioned_concurrency_is_listed_page_by_page(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        for number in range(3):
            await _publish(plane, str(number + 5))
            await _provision(plane, str(number + 5), 1)
        seen, marker = [], None
        while True:
            page = await plane.call(
                "ListProvisionedConcurrencyConfigs", FunctionName="f", MaxItems=1, Marker=marker
            )
            seen += [one["FunctionArn"] for one in page.output["ProvisionedConcurrencyConfigs"]]
            marker = page.output.get("NextMarker")
            if marker is None:
                break
        assert seen == [f"{ARN}:{number}" for number in (5, 6, 7)]

    with_function(tmp_path, use)


async def _publish(plane: ControlPlane, number: str) -> None:
    first = plane.store.collection(VERSIONS).peek(version_key(F, "1"))
    assert first is not None
    version = msgspec.structs.replace(first, version=number)
    await plane.store.write(lambda tx: tx.put(VERSIONS, version_key(F, number), version))


def test_list_of_a_missing_function_says_so(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        call = plane.call("ListProvisionedConcurrencyConfigs", FunctionName="doesnotexist")
        assert (await refused(call))[2] == f"Function not found: {ARN[:-1]}doesnotexist"

    with_function(tmp_path, use)


def test_recursion_is_terminated_unless_allowed(tmp_path: Path) -> None:
    async def use(plane: ControlPlane) -> None:
        got = await plane.call("GetFunctionRecursionConfig", FunctionName="f")
        assert got.output == {"RecursiveLoop": "Terminate"}
        put = await plane.call("PutFunctionRecursionConfig", FunctionName="f", RecursiveLoop="Allow")
        assert put.output == {"RecursiveLoop": "Allow"}
        got = await plane.call("GetFunctionRecursionConfig", FunctionName="f")
        assert got.output == {"RecursiveLoop": "Allow"}
        for operation, given in (("Put", {"RecursiveLoop": "Allow"}), ("Get", {})):
            call = plane.call(f"{operation}FunctionRecursionConfig", FunctionName="doesnotexist", **given)
            assert (await refused(call))[0] == 404
        await plane.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=5)
        await plane.call("DeleteFunction", FunctionName="f")
        assert plane.store.collection(RECURSION_CONFIGS).all() == ()
        assert plane.store.collection(RESERVED_CONCURRENCY).all() == ()

    with_function(tmp_path, use)
