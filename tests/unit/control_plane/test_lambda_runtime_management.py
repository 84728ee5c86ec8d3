"""Runtime management: what is so, and the refusal of what cannot be."""

import asyncio
from pathlib import Path

import pytest
from lambda_harness import ControlPlane

from squib.model.errors import ApiError

ARN = "arn:aws:lambda:us-east-1:111111111111:function:f"


def test_auto_is_the_one_mode_and_the_others_are_refused_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        async with ControlPlane(tmp_path) as plane:
            await plane.create(Publish=True)
            for given, arn in (({}, ARN), ({"Qualifier": "1"}, f"{ARN}:1")):
                expected = {"UpdateRuntimeOn": "Auto", "FunctionArn": arn}
                got = await plane.call("GetRuntimeManagementConfig", FunctionName="f", **given)
                put = await plane.call(
                    "PutRuntimeManagementConfig", FunctionName="f", UpdateRuntimeOn="Auto", **given
                )
                assert got.output == put.output == expected
            for refused, code, word in (
                ({"UpdateRuntimeOn": "FunctionUpdate"}, "NotImplementedException", "FunctionUpdate"),
                (
                    {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": "arn:aws:lambda:::runtime:r"},
                    "NotImplementedException",
                    "Manual",
                ),
                (
                    {"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": "arn:aws:lambda:::runtime:r"},
                    "InvalidParameterValueException",
                    "RuntimeVersionArn",
                ),
                ({"UpdateRuntimeOn": "Auto", "Qualifier": "7"}, "ResourceNotFoundException", f"{ARN}:7"),
            ):
                with pytest.raises(ApiError) as caught:
                    await plane.call("PutRuntimeManagementConfig", FunctionName="f", **refused)
                assert caught.value.code == code
                assert word in caught.value.message

    asyncio.run(main())
