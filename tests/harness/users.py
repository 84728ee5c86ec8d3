"""IAM users and roots of other accounts, as tests of permissions have them call squib."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError

from harness.squib import Squib, unique_name


class User:
    """An IAM user with a key of its own."""

    def __init__(self, squib: Squib, *statements: Mapping[str, object], name: str | None = None) -> None:
        self.squib, self.name = squib, name or unique_name("user")
        iam = squib.client("iam", "us-east-1")
        self.arn = iam.create_user(UserName=self.name)["User"]["Arn"]
        self.allow(*statements)
        key = iam.create_access_key(UserName=self.name)["AccessKey"]
        self.key = {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }

    def allow(self, *statements: Mapping[str, object]) -> None:
        """From now on these statements are all it may."""
        iam = self.squib.client("iam", "us-east-1")
        if not statements:
            return
        document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]}
        iam.put_user_policy(UserName=self.name, PolicyName="p", PolicyDocument=json.dumps(document))

    def delete(self) -> None:
        """With its key; for one without policies."""
        iam = self.squib.client("iam", "us-east-1")
        iam.delete_access_key(UserName=self.name, AccessKeyId=self.key["aws_access_key_id"])
        iam.delete_user(UserName=self.name)

    def client(self, service: str = "lambda", region: str = "eu-west-1") -> Any:
        """Signs as the user."""
        return self.squib.client(service, region, **self.key)


def everything(action: str | Sequence[str], resource: str = "*") -> Mapping[str, object]:
    return {"Action": action, "Resource": resource}


def refused(call: Callable[..., Any], **given: Any) -> str:
    """The text of the refusal; fails when there is none or it is another."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    error = caught.value.response["Error"]
    assert error["Code"] in ("AccessDeniedException", "AccessDenied"), error
    return str(error.get("Message", ""))


def stranger(squib: Squib, account_id: str = "111111111111") -> Mapping[str, str]:
    """Keys of the root of another account, for `Squib.client`."""
    made = squib.command("account", "create", account_id, "--data-dir", str(squib.data_dir))
    assert made.returncode == 0 or "already" in made.stderr, made.stderr
    stored = json.loads((squib.data_dir / "credentials.json").read_text())["accounts"][account_id]
    return {
        "aws_access_key_id": stored["access_key_id"],
        "aws_secret_access_key": stored["secret_access_key"],
    }
