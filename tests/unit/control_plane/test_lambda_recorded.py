"""Whole conversations with the Lambda control plane, against answers recorded from AWS."""

import asyncio
import base64
import hashlib
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lambda_harness import ACCOUNT, REGION, ControlPlane, package

from squib.model.errors import ApiError
from squib.model.limits import MAX_ZIP_UPLOAD_BYTES

FOLDER = Path(__file__).parents[2] / "cases"
CASES = json.loads((FOLDER / "lambda_functions.json").read_text())
NAMES = [
    case
    for case in json.loads((FOLDER / "function_names.json").read_text())["errors"]
    if case["decided_by"] != "model" and case["operation"] != "Invoke"
]
assert (CASES["account_id"], CASES["region"]) == (ACCOUNT, REGION)


def _unzips_too_large() -> bytes:
    content = package(a__py="x")
    at = content.index(b"PK\x01\x02") + 24
    return content[:at] + struct.pack("<I", 262_144_000) + content[at + 4 :]


def _zipped_too_large() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a", b"\0" * MAX_ZIP_UPLOAD_BYTES)
    return buffer.getvalue()


PACKAGES: dict[str, Callable[[], bytes]] = {
    "one": lambda: package(handler__py="one"),
    "two": lambda: package(handler__py="second"),
    "text": lambda: b"this is not a zip file",
    "empty": lambda: b"",
    "unzips too large": _unzips_too_large,
    "zipped too large": _zipped_too_large,
}


class _Conversation:
    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._revisions: list[str] = []

    async def run(self, steps: list[dict[str, Any]]) -> None:
        for step in steps:
            if "activate" in step:
                await self._plane.activate()
            elif "error" in step:
                with pytest.raises(ApiError) as caught:
                    await self._call(step)
                error = caught.value
                assert {"code": error.code, "status": error.status, "message": error.message} == step["error"]
            else:
                await self._answered(step)

    async def _call(self, step: dict[str, Any]) -> Any:
        given = {"FunctionName": CASES["function_name"], **step["input"]}
        if "Tag" in step["call"]:
            del given["FunctionName"]
        if given.get("RevisionId") == "<latest>":
            given["RevisionId"] = self._revisions[-1]
        for holder in (given, given.get("Code", {})):
            if "ZipFile" in holder:
                holder["ZipFile"] = PACKAGES[holder["ZipFile"]]()
        return await self._plane.call(step["call"], **given)

    async def _answered(self, step: dict[str, Any]) -> None:
        step = json.loads(json.dumps(step))
        result = await self._call(step)
        assert (result.status or 200) == step.get("status", 200)
        output = dict(result.output)
        if "output" in step:
            assert output == step["output"]
            return
        if step["call"] == "GetFunction":
            assert output.pop("Code")["RepositoryType"] == "S3"
            assert output.pop("Tags", None) == step.get("tags")
            output = output.pop("Configuration")
        self._check_revision(step["revision"], output["RevisionId"])
        expected = {**CASES["created"], **step["configuration"]}
        assert _plain(output) == {name: value for name, value in expected.items() if value is not None}

    def _check_revision(self, expected: str, revision_id: str) -> None:
        if expected == "same":
            assert revision_id == self._revisions[-1]
        else:
            assert revision_id not in self._revisions
            self._revisions.append(revision_id)


def _plain(configuration: dict[str, Any]) -> dict[str, Any]:
    """The configuration with placeholders for what differs from run to run."""
    plain = dict(configuration)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", plain["LastModified"])
    assert re.fullmatch(r"[0-9a-f-]{36}", plain["RevisionId"])
    version_arn = plain["RuntimeVersionConfig"]["RuntimeVersionArn"]
    assert re.fullmatch(r"arn:aws:lambda:us-east-1::runtime:[0-9a-f]{64}", version_arn)
    plain |= {
        "LastModified": "<date>",
        "RevisionId": "<revision>",
        "RuntimeVersionConfig": {"RuntimeVersionArn": "<runtime version>"},
    }
    for name in ("one", "two"):
        content = PACKAGES[name]()
        if plain["CodeSha256"] == base64.b64encode(hashlib.sha256(content).digest()).decode():
            assert plain["CodeSize"] == len(content)
            plain |= {"CodeSha256": f"<sha256 of zip {name}>", "CodeSize": f"<size of zip {name}>"}
    return plain


@pytest.mark.parametrize("scenario", CASES["scenarios"], ids=lambda scenario: str(scenario["name"]))
def test_conversation_goes_as_with_aws(scenario: dict[str, Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with ControlPlane(tmp_path) as plane:
            await _Conversation(plane).run(scenario["steps"])

    asyncio.run(main())


@pytest.mark.parametrize("case", NAMES, ids=lambda case: f"{case['case']}-{case['operation']}")
def test_name_is_refused_as_by_aws(case: dict[str, Any], tmp_path: Path) -> None:
    async def main() -> None:
        async with ControlPlane(tmp_path) as plane:
            with pytest.raises(ApiError) as caught:
                if case["operation"] == "CreateFunction":
                    await plane.create(case["function_name"])
                else:
                    await plane.call(
                        case["operation"], FunctionName=case["function_name"], Qualifier=case["qualifier"]
                    )
            error = caught.value
            assert {"code": error.code, "status": error.status, "message": error.message} == case["error"]

    asyncio.run(main())
