"""What the plain driver says of a runtime that squib's account may not use."""

import asyncio
import os
from pathlib import Path

import pytest

from squib.environment.driver import RuntimeUnavailable
from squib.environment.drivers.plain import PlainDriver, PlainOptions
from squib.environment.runtimes import Runtime, RuntimeKind


def prepare(folder: Path, interpreter: Path) -> None:
    runtime = Runtime(
        name="python3.12",
        kind=RuntimeKind.PYTHON,
        version="3.12.1",
        interpreter=interpreter,
        prefix=None,
        client_dir=folder,
    )
    options = PlainOptions(code_dir=folder / "code", work_dir=folder / "plain")
    asyncio.run(PlainDriver({"python3.12": runtime}, {}, options).prepare("python3.12"))


def test_an_interpreter_that_may_not_be_executed_is_named_with_what_to_do(tmp_path: Path) -> None:
    interpreter = tmp_path / "python3.12"
    interpreter.write_text("")
    interpreter.chmod(0o644)  # closed to root as well
    with pytest.raises(RuntimeUnavailable) as caught:
        prepare(tmp_path, interpreter)
    said = str(caught.value)
    assert said.startswith(f"python3.12 is at {interpreter}, which is closed to squib's account (uid ")
    assert f"(uid {os.getuid()}): install it where every account may read and execute it" in said


def test_an_interpreter_that_may_be_executed_is_prepared(tmp_path: Path) -> None:
    interpreter = tmp_path / "python3.12"
    interpreter.write_text("")
    interpreter.chmod(0o755)
    prepare(tmp_path, interpreter)
