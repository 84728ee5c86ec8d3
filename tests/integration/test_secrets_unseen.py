"""No secret that squib is told or makes is in its log or in its files, but where it belongs."""

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any, Final

from botocore.exceptions import ClientError

from harness.squib import Squib, unique_name
from harness.users import User, everything, stranger

KEYS: Final = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SOURCE: Final = f"""
import os
def handler(event, context):
    if event == "fail":
        raise ValueError("oh")
    if event == "exit":
        os._exit(3)
    return [os.environ[name] for name in {KEYS!r}]
"""


def attempt(call: Callable[..., Any], **given: Any) -> None:
    """The call is made; it may be refused."""
    try:
        call(**given)
    except ClientError:
        pass


def ask(request: urllib.request.Request | str) -> None:
    """Likewise, without the SDK."""
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        error.close()


class Secrets:
    """What must not be seen, by what it is."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def take(self, **secrets: str) -> None:
        self.known |= secrets

    def seen_in(self, data: bytes) -> set[str]:
        """Plain, in base64, or as JSON has it."""
        return {
            name
            for name, secret in self.known.items()
            if any(
                form in data
                for form in (
                    secret.encode(),
                    base64.b64encode(secret.encode()),
                    secret.replace("/", "\\/").encode(),
                )
            )
        }


def use_credentials(squib: Squib, secrets: Secrets, user: User) -> None:
    """Good and bad ones, of all kinds."""
    key_id, sts = user.key["aws_access_key_id"], user.client("sts")
    trust = {"Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": "sts:AssumeRole"}
    role = user.client("iam").create_role(
        RoleName=unique_name("role"),
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    named = {"RoleArn": role, "RoleSessionName": "session"}
    for number, made in enumerate(
        (sts.assume_role(**named, ExternalId="external-id-4711"), sts.get_session_token())
    ):
        given = made["Credentials"]
        secrets.take(
            **{f"secret {number}": given["SecretAccessKey"], f"token {number}": given["SessionToken"]}
        )
        own = {"aws_access_key_id": given["AccessKeyId"], "aws_session_token": given["SessionToken"]}
        attempt(squib.client(aws_secret_access_key=given["SecretAccessKey"], **own).list_functions)
        attempt(squib.client(aws_secret_access_key="wrong/secret/wrong/secret", **own).list_functions)
    bogus = {**user.key, "aws_session_token": "bogus-token-4711"}
    attempt(squib.client(**bogus).list_functions)
    attempt(sts.assume_role_with_web_identity, **named, WebIdentityToken="eyJh.web-token-4711.eyJh")
    url = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    ask(url)
    found = re.search("X-Amz-Signature=([0-9a-f]+)", url)
    assert found is not None and key_id in url
    secrets.take(
        external="external-id-4711",
        wrong="wrong/secret/wrong/secret",
        bogus="bogus-token-4711",
        web="web-token-4711",
        signature=found[1],
    )


def use_a_function(squib: Squib, secrets: Secrets) -> None:
    """With variables, good and bad ones; failing in all ways."""
    variables = {f"V{number}": f"variable-4711-{number}" for number in range(4)}
    secrets.take(**variables)
    function = squib.deploy(SOURCE, variables={"VAR": variables["V0"]})
    client, name = squib.client(), function.name
    for event in ("", "fail", "exit"):
        function.invoke(event)
    secrets.take(**dict(zip(KEYS, function.invoke("").value, strict=True)))
    for one in ({"VAR": variables["V1"]}, {"9": variables["V2"]}, {"AWS_SECRET_ACCESS_KEY": variables["V3"]}):
        function.wait_updated()
        attempt(client.update_function_configuration, FunctionName=name, Environment={"Variables": one})
    function.wait_updated()
    client.publish_version(FunctionName=name)
    location = client.get_function(FunctionName=name)["Code"]["Location"]
    ask(location)
    secrets.take(location=location.rpartition("=")[2])


def test_no_secret_is_in_the_log_or_in_a_file_that_is_not_for_it() -> None:
    secrets = Secrets()
    secrets.take(metrics="metrics-token-4711-4711", bearer="wrong-metrics-4711-4711")
    squib = Squib("--log-level", "debug", variables={"SQUIB_METRICS_TOKEN": secrets.known["metrics"]})
    with squib:
        user = User(squib, everything("*"))
        secrets.take(user=user.key["aws_secret_access_key"])
        use_credentials(squib, secrets, user)
        use_a_function(squib, secrets)
        for bearer in ("metrics", "bearer"):
            authorization = {"Authorization": f"Bearer {secrets.known[bearer]}"}
            ask(urllib.request.Request(f"{squib.url}/_squib/metrics", headers=authorization))
        roots = {"other": stranger(squib)["aws_secret_access_key"], "root": squib.root_key()[1]}
        secrets.take(**roots)
        assert squib.stop() == 0
        sealing_key = squib.data_dir / "sealing.key"
        secrets.take(sealing=sealing_key.read_bytes().decode("latin-1").strip())
        assert secrets.seen_in(squib.output.encode()) == set()
        belongs = {"credentials.json": set(roots), "sealing.key": {"sealing"}}
        for path in squib.data_dir.rglob("*"):
            if path.is_file():
                assert secrets.seen_in(path.read_bytes()) <= belongs.get(path.name, set()), path
                if path.name in belongs:
                    assert path.stat().st_mode & 0o777 == 0o600
