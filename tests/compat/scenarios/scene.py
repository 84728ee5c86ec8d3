"""A scenario being played: calls to a live squib, each answer compared with the recorded one of its name."""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, Final

import botocore.config
import botocore.exceptions
import pytest

from compat.scenarios.comparison import Comparison
from compat.scenarios.recordings import Answers
from harness.functions import ROLE, zip_of
from harness.moto import Moto
from harness.s3 import S3
from harness.squib import Squib, unique_name

REGION: Final = "us-east-1"
RUNTIME: Final = "python3.12"
_BOOTSTRAP: Final = {"bootstrap": "#!/bin/sh\nexit 1\n"}
_ECHO: Final = "def handler(event, context):\n    return event\n"
CODE: Final = zip_of({**dict.fromkeys(("handler.py", "index.py", "lambda_handler.py"), _ECHO), **_BOOTSTRAP})
OTHER_CODE: Final = zip_of({**dict.fromkeys(("handler.py", "index.py"), f"{_ECHO}# other\n"), **_BOOTSTRAP})
_STAND_INS: Final = ("python3.13", "python3.12", "python3.11", "python3.10", "python3.9", "provided.al2023")
_RECORDED_RUNTIME: Final = re.compile(r'"Runtime": "([^"]+)"')
_COUNT: Final = re.compile(r"(\d+) validation errors? detected: ")


def slow_code() -> bytes:
    """An archive of so many files that squib still unpacks it at the next call; never the same twice."""
    parts = {f"part/{number}.py": "" for number in range(6000)}
    return zip_of({"handler.py": f"# {unique_name()}\n", "index.py": "", **parts})


Play = Callable[["Scene"], None]
SCENARIOS: Final[dict[str, Play]] = {}
"""Every scenario that is played, by its recorded name."""
WITH_STREAMS: Final[set[str]] = set()
"""Of these, those that need streams elsewhere."""


def scenario(*names: str, with_streams: bool = False) -> Callable[[Play], Play]:
    """Says which recorded scenarios a function plays; `scene.parameter` tells variants apart."""

    def register(play: Play) -> Play:
        for name in names:
            assert name not in SCENARIOS, name
            SCENARIOS[name] = play
            if with_streams:
                WITH_STREAMS.add(name)
        return play

    return register


class Scene:
    """One scenario being played. `differences`: name of the answer -> what differs in it."""

    def __init__(
        self,
        name: str,
        recorded: Answers,
        squib: Squib,
        s3: S3,
        runtimes: Set[str],
        streams: Moto | None = None,
    ) -> None:
        """`streams`: where squib finds tables, for scenarios of `WITH_STREAMS`."""
        self.streams = streams
        self.name, self._recorded, self._squib, self._runtimes = name, recorded, squib, runtimes
        self._s3 = s3
        self.parameter = name[name.index("[") + 1 : -1] if "[" in name else ""
        self.region = REGION
        self.account_id = ROLE.split(":")[4]
        self.differences: dict[str, list[str]] = {}
        self.stand_ins: dict[str, str] = {}
        self._compared: set[str] = set()
        self._functions: list[str] = []
        self._comparison = Comparison(
            account_id=self.account_id, region=self.region, stand_ins=self.stand_ins
        )

    # --- calls

    def client(
        self, region: str | None = None, *, checks_parameters: bool = True, service: str = "lambda"
    ) -> Any:
        """A client; one that does not check parameters lets squib see what AWS saw."""
        region = region or self.region
        if checks_parameters:
            return self._squib.client(service, region)
        config = botocore.config.Config(parameter_validation=False)
        return self._squib.client(service, region, config=config)

    def ask(self, answer: str | None, operation: str, *, client: Any = None, **given: Any) -> Any:
        """Calls an operation (`get_function`); gives the answer, an error's too. Compares it as `answer`."""
        try:
            live = getattr(client or self.client(), operation)(**given)
        except botocore.exceptions.ClientError as error:
            live = error.response
        except botocore.exceptions.ParamValidationError as error:
            live = str(error)
        if answer is not None:
            self.compare(answer, live)
        return live

    def compare(self, answer: str, live: Any) -> None:
        """Compares any value with the recorded answer of this name."""
        recorded = self._recorded[answer]
        self._compared.add(answer)
        if isinstance(recorded, dict) and "CreateFunctionResponse" in recorded:
            recorded = recorded["CreateFunctionResponse"]
        found = list(self._comparison.differences(recorded, _as_recorded(live, recorded)))
        if found:
            self.differences.setdefault(answer, []).extend(found)

    def leave(self, answer: str) -> None:
        """What another service has answered in the recorded conversation: nothing that squib says."""
        self._compared.add(answer)

    def recorded(self, answer: str) -> Any:
        """The recorded answer of this name, for a scenario that must know a size from it."""
        return self._recorded[answer]

    def put_object(self, bucket: str, key: str, content: bytes) -> dict[str, str]:
        """Puts an object into the S3 that squib reads; gives the code parameters that name it."""
        self._s3.objects[f"{bucket}/{key}"] = content
        return {"S3Bucket": bucket, "S3Key": key}

    # --- functions

    def function(
        self, answer: str | None = None, *, name: str | None = None, waits: bool = True, **given: Any
    ) -> str:
        """Creates a function with no more than it needs; gives its name."""
        name = name or unique_name("scene")
        self._functions.append(name)
        parameters = {"Role": ROLE, "Runtime": RUNTIME, "Handler": "index.handler", **given}
        parameters["Runtime"] = self.runtime(parameters["Runtime"])
        code = parameters.pop("Code", {"ZipFile": CODE})
        live = self.ask(answer, "create_function", FunctionName=name, Code=code, **parameters)
        if waits and "FunctionArn" in live:
            self.settle(name)
        return name

    def deployed(self, answer: str | None = None, **given: Any) -> str:
        """Creates a function as deployment tools do, with time, memory and variables spelt out."""
        spelt = {"Timeout": 30, "MemorySize": 128, "Environment": {"Variables": {}}}
        return self.function(answer, **{**spelt, "Handler": "handler.handler", **given})

    def settle(self, name: str, *qualifier: str) -> None:
        """Waits until squib has done what was declared, whatever came of it."""
        given = {"FunctionName": name, **({"Qualifier": qualifier[0]} if qualifier else {})}
        for kind in ("function_active_v2", "function_updated_v2"):
            with contextlib.suppress(botocore.exceptions.WaiterError):
                self.client().get_waiter(kind).wait(**given, WaiterConfig={"Delay": 0.02, "MaxAttempts": 500})

    def runtime(self, recorded: str) -> str:
        """The recorded runtime where squib can run it here, else one that stands in for it."""
        if recorded in self._runtimes or not re.match(r"python|nodejs|java|dotnet|ruby|provided", recorded):
            return recorded
        if recorded not in self.stand_ins:
            recorded_too = _RECORDED_RUNTIME.findall(json.dumps(self._recorded))
            taken = {*recorded_too, *self.stand_ins.values()}
            free = [name for name in _STAND_INS if name in self._runtimes]
            self.stand_ins[recorded] = next((name for name in free if name not in taken), free[0])
        return self.stand_ins[recorded]

    def need_any(self, *runtimes: str) -> None:
        """Skips the test where this machine has none of these."""
        if not self._runtimes.intersection(runtimes):
            pytest.skip(f"this machine has none of {', '.join(runtimes)}")

    def reading_role(self) -> str:
        """A role whose functions may read queues."""
        return self._squib.role("scene-reader", managed=("service-role/AWSLambdaSQSQueueExecutionRole",))

    def streaming_role(self) -> str:
        """A role whose functions may read streams of tables, and send to queues."""
        managed = ("service-role/AWSLambdaDynamoDBExecutionRole", "AmazonSQSFullAccess")
        return self._squib.role("scene-streamer", managed=managed)

    def invoking_role(self) -> str:
        """A role whose functions may invoke functions."""
        return self._squib.role("scene-invoker", managed=("service-role/AWSLambdaRole",))

    def arn(self, name: str, *qualifier: str) -> str:
        """The ARN of a function of ours."""
        return ":".join(("arn:aws:lambda", self.region, self.account_id, "function", name, *qualifier))

    # --- the end

    def finish(self) -> None:
        """Deletes what was made; says which recorded answers were not compared."""
        for name in self._functions:
            self.ask(None, "delete_function", FunctionName=name)
        for answer in self._recorded.keys() - self._compared:
            self.differences[answer] = ["was not asked for"]


def _as_recorded(live: Any, recorded: Any) -> Any:
    """The answer with what recordings keep: of the metadata, the status; of validation errors, the parts."""
    if not isinstance(live, Mapping) or not isinstance(recorded, Mapping):
        return live
    plain = dict(live)
    if "Error" in plain and isinstance(recorded.get("Code"), str):
        return dict(_parts(plain["Error"], recorded))
    status = plain.pop("ResponseMetadata", {}).get("HTTPStatusCode")
    if "ResponseMetadata" in recorded:
        plain["ResponseMetadata"] = {**recorded["ResponseMetadata"], "HTTPStatusCode": status}
    return plain


def _parts(error: Mapping[str, Any], recorded: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "Code", error["Code"]
    found = _COUNT.match(error["Message"])
    if found is None or "Errors" not in recorded:
        yield "Message", error["Message"]
    else:
        yield "Count", int(found[1])
        yield "Errors", sorted(error["Message"][found.end() :].split("; "))
