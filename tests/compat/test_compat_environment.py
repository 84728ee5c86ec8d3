"""What a function finds around it: variables, /tmp, memory, credentials, squib's own API."""

import pytest

from harness.functions import ROLE, Function
from harness.squib import Squib, unique_name

MIB = 1 << 20


def test_variables_are_lambdas(squib: Squib) -> None:
    source = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"
    function = squib.deploy(source, variables={"COLOUR": "grün", "EMPTY": ""})
    seen = function.invoke().value
    expected = {
        "_HANDLER": "app.handler",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "COLOUR": "grün",
        "EMPTY": "",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert seen["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert seen["AWS_SESSION_TOKEN"]


def test_it_runs_in_its_code_as_nobody_in_particular(squib: Squib) -> None:
    source = """
import os, pwd
def handler(event, context):
    return [os.getcwd(), os.getuid() == 0, pwd.getpwuid(os.getuid()).pw_name, sorted(os.listdir("."))]
"""
    function = squib.deploy({"app.py": source, "data/words.txt": "hello"})
    assert function.invoke().value == ["/var/task", False, "sbx_user1051", ["app.py", "data"]]


@pytest.fixture(scope="module")
def disk(squib: Squib) -> Function:
    """Looks at, fills and crashes with its /tmp."""
    source = """
import os
def handler(event, context):
    match event:
        case "list": return sorted(os.listdir("/tmp"))
        case "crash": os._exit(1)
        case "size":
            stat = os.statvfs("/tmp")
            return stat.f_bavail * stat.f_frsize
        case ["write", name, mib]:
            with open(f"/tmp/{name}", "wb") as file:
                for _ in range(mib):
                    file.write(b"x" * (1 << 20))
            return os.stat(f"/tmp/{name}").st_size
        case ["remove", name]: os.remove(f"/tmp/{name}")
"""
    return squib.deploy(source, MemorySize=128, Timeout=30)


def test_tmp_is_512_mib_and_starts_empty(disk: Function) -> None:
    assert disk.invoke("list").value == []
    assert 500 * MIB <= disk.invoke("size").value <= 530 * MIB


def test_tmp_stays_between_invocations_and_after_a_crash(disk: Function) -> None:
    disk.invoke(["write", "kept", 1])
    assert disk.invoke("list").value == ["kept"]
    assert disk.invoke("crash").error == "Unhandled"
    assert disk.invoke("list").value == ["kept"]
    disk.invoke(["remove", "kept"])


def test_tmp_does_not_count_as_memory(disk: Function) -> None:
    result = disk.invoke(["write", "large", 300])
    assert result.value == 300 * MIB
    assert result.report.used_mib <= 128
    disk.invoke(["remove", "large"])


def test_tmp_is_private_to_an_environment(squib: Squib, disk: Function) -> None:
    disk.invoke(["write", "secret", 1])
    other = squib.deploy("import os\ndef handler(event, context):\n    return os.listdir('/tmp')\n")
    assert other.invoke().value == []
    disk.invoke(["remove", "secret"])


def test_a_larger_tmp_can_be_had(squib: Squib) -> None:
    source = """
import os
def handler(event, context):
    stat = os.statvfs("/tmp")
    return stat.f_bavail * stat.f_frsize
"""
    function = squib.deploy(source, EphemeralStorage={"Size": 1024})
    assert 1000 * MIB <= function.invoke().value <= 1060 * MIB


def test_max_memory_used_is_true(squib: Squib) -> None:
    source = "def handler(event, context):\n    hoard = bytearray(event << 20)\n    return len(hoard)\n"
    function = squib.deploy(source, MemorySize=512)
    small = function.invoke(1).report.used_mib
    assert 10 <= small <= 60
    assert 100 <= function.invoke(100).report.used_mib <= 140


@pytest.mark.slow
@pytest.mark.parametrize("memory_mib", [128, 512])
def test_memory_ends_at_the_functions_size(squib: Squib, memory_mib: int) -> None:
    source = "def handler(event, context):\n    hoard = bytearray(event << 20)\n    return len(hoard) >> 20\n"
    function = squib.deploy(source, MemorySize=memory_mib)
    fits = memory_mib * 3 // 5
    assert function.invoke(fits).value == fits
    over = function.invoke(memory_mib + 64)
    assert over.error == "Unhandled"
    assert over.payload["errorType"] == "Runtime.OutOfMemory"


def test_the_sdk_inside_is_the_functions_role(squib: Squib) -> None:
    source = """
import boto3
def handler(event, context):
    return boto3.client("sts").get_caller_identity()["Arn"]
"""
    function = squib.deploy(source, Role=squib.role("reader", path="/service/"), Timeout=20)
    assert function.invoke().value == f"arn:aws:sts::000000000000:assumed-role/reader/{function.name}"


def test_the_role_may_do_nothing_else(squib: Squib) -> None:
    source = """
import boto3
def handler(event, context):
    try:
        boto3.client("lambda").list_functions()
    except Exception as error:
        return [error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"],
                error.response["Error"]["Message"]]
"""
    name = unique_name()
    status, code, message = squib.deploy(source, name=name, Timeout=20).invoke().value
    assert (status, code) == (403, "AccessDeniedException")
    principal = f"arn:aws:sts::000000000000:assumed-role/{ROLE.rpartition('/')[2]}/{name}"
    assert message.startswith(
        f"User: {principal} is not authorized to perform: lambda:ListFunctions on resource: "
    )
    assert "because no identity-based policy allows the lambda:ListFunctions action" in message
