"""Several accounts in one squib: made while it runs, kept apart, there after a restart."""

import re

import botocore.exceptions
import pytest

from harness.squib import Squib, clean_environment, unique_name


def exported(squib: Squib, account_id: str) -> dict[str, str]:
    """What `squib env --account` prints, as client parameters."""
    done = squib.command("env", "--data-dir", str(squib.data_dir), "--account", account_id)
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"export (\w+)=(\S+)", done.stdout))
    return {
        "aws_access_key_id": found["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": found["AWS_SECRET_ACCESS_KEY"],
    }


def test_an_account_is_made_while_squib_runs_and_has_things_of_its_own() -> None:
    with Squib() as squib:
        made = squib.command("account", "create", "--data-dir", str(squib.data_dir), "111122223333")
        assert made.returncode == 0, made.stderr
        pair = exported(squib, "111122223333")
        assert squib.client("sts", **pair).get_caller_identity()["Account"] == "111122223333"
        name = unique_name("user")
        user = squib.client("iam", **pair).create_user(UserName=name)["User"]
        assert user["Arn"] == f"arn:aws:iam::111122223333:user/{name}"
        with pytest.raises(botocore.exceptions.ClientError, match="NoSuchEntity"):
            squib.client("iam").get_user(UserName=name)
        again = squib.command("account", "create", "--data-dir", str(squib.data_dir), "111122223333")
        assert again.returncode == 1 and "there is an account" in again.stderr
        listed = squib.command(
            "account", "list", "--data-dir", str(squib.data_dir), variables=clean_environment()
        )
        assert "111122223333" in listed.stdout and "000000000000" in listed.stdout
        assert pair["aws_secret_access_key"] not in listed.stdout + squib.output
        assert squib.stop() == 0
        stopped = squib.command("account", "create", "--data-dir", str(squib.data_dir), "444455556666")
        assert stopped.returncode == 0, stopped.stderr
        squib.start()
        for account_id in ("111122223333", "444455556666"):
            sts = squib.client("sts", **exported(squib, account_id))
            assert sts.get_caller_identity()["Account"] == account_id
        assert squib.client("iam", **pair).get_user(UserName=name)["User"] == user
