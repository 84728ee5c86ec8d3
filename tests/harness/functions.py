"""A function on a squib under test, and what an invocation of it gave back."""

import base64
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Source = str | Mapping[str, str | bytes]
ROLE: Final = "arn:aws:iam::000000000000:role/test-role"
_NOTHING: Final = object()
_REPORT: Final = re.compile(
    r"REPORT RequestId: (?P<request_id>\S+)\tDuration: (?P<duration>[\d.]+) ms\t"
    r"Billed Duration: (?P<billed>\d+) ms\tMemory Size: (?P<memory>\d+) MB\tMax Memory Used: (?P<used>\d+) MB"
    r"(?:\tInit Duration: (?P<init>[\d.]+) ms)?"
    r"(?:\tRestore Duration: (?P<restore>[\d.]+) ms\tBilled Restore Duration: (?P<billed_restore>\d+) ms)?"
    r"(?:\tStatus: (?P<status>\w+))?"
    r"(?:\tError Type: (?P<error>\S+))?"
)


def zip_of(files: Mapping[str, str | bytes], *, mode: int = 0o755) -> bytes:
    """An archive with these files, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def source_files(source: Source, runtime: str) -> Mapping[str, str | bytes]:
    """The files of a function; a single text is the module `app`."""
    if not isinstance(source, str):
        return source
    if runtime.startswith("nodejs"):
        return {"app.js": source}
    return {"bootstrap" if runtime.startswith("provided") else "app.py": source}


@dataclass(frozen=True, slots=True)
class Report:
    """The numbers of a REPORT line."""

    request_id: str
    duration_ms: float
    billed_ms: int
    memory_mib: int
    used_mib: int
    init_ms: float | None
    status: str | None
    error_type: str | None
    restore_ms: float | None = None
    billed_restore_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One answer to an Invoke."""

    status: int
    body: bytes
    error: str | None
    """X-Amz-Function-Error."""
    version: str | None
    log: str
    """The log's tail, empty unless it was asked for."""
    request_id: str

    @property
    def payload(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def value(self) -> Any:
        """The payload of a success; fails for a function error."""
        assert self.error is None, f"{self.error}: {self.body.decode(errors='replace')}\n{self.log}"
        return self.payload

    @property
    def report(self) -> Report:
        """The numbers of this invocation's REPORT line."""
        found = _REPORT.search(self.log)
        assert found is not None, f"no REPORT in {self.log!r}"
        return Report(
            request_id=found["request_id"],
            duration_ms=float(found["duration"]),
            billed_ms=int(found["billed"]),
            memory_mib=int(found["memory"]),
            used_mib=int(found["used"]),
            init_ms=float(found["init"]) if found["init"] else None,
            status=found["status"],
            error_type=found["error"],
            restore_ms=float(found["restore"]) if found["restore"] else None,
            billed_restore_ms=int(found["billed_restore"]) if found["billed_restore"] else None,
        )


class Function:
    """A function by name, with the client that made it."""

    def __init__(self, client: Any, name: str, arn: str) -> None:
        self.client, self.name, self.arn = client, name, arn

    def invoke(self, event: Any = _NOTHING, *, raw: bytes | None = None, **more: Any) -> Result:
        """Invokes it and waits; the log's tail comes with it. `raw` instead of a JSON `event`."""
        parameters: dict[str, Any] = {"FunctionName": self.name, "LogType": "Tail", **more}
        if raw is not None:
            parameters["Payload"] = raw
        elif event is not _NOTHING:
            parameters["Payload"] = json.dumps(event).encode()
        answer = self.client.invoke(**parameters)
        return Result(
            status=answer["StatusCode"],
            body=answer["Payload"].read(),
            error=answer.get("FunctionError"),
            version=answer.get("ExecutedVersion"),
            log=base64.b64decode(answer.get("LogResult", "")).decode(),
            request_id=answer["ResponseMetadata"]["RequestId"],
        )

    def update_code(self, source: Source, runtime: str = "python") -> None:
        """Replaces the code and waits until it is in use."""
        self.client.update_function_code(
            FunctionName=self.name, ZipFile=zip_of(source_files(source, runtime))
        )
        self.wait_updated()

    def configure(self, **changes: Any) -> None:
        """Changes the configuration and waits until it is in use."""
        self.client.update_function_configuration(FunctionName=self.name, **changes)
        self.wait_updated()

    def wait_updated(self) -> None:
        """Until the last update is over."""
        self.client.get_waiter("function_updated_v2").wait(
            FunctionName=self.name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
        )

    def wait_active(self) -> None:
        """Until it can be invoked."""
        self.client.get_waiter("function_active_v2").wait(
            FunctionName=self.name, WaiterConfig={"Delay": 0.05, "MaxAttempts": 400}
        )

    def delete(self) -> None:
        """Deletes it."""
        self.client.delete_function(FunctionName=self.name)
