"""Services elsewhere, by account: from options, from a file, and what is refused in either."""

from pathlib import Path

import pytest

from squib.config import SettingsError, Surroundings, load
from squib.config.elsewhere import elsewhere
from squib.invoke.upstream import Elsewhere, UpstreamOptions
from squib.model.units import AccountId

FIRST, OTHER = AccountId("000000000000"), AccountId("111122223333")
SECRET = "a-very-secret-key"


def found(tmp_path: Path, text: str | None = None, *, mode: int = 0o600, **variables: str) -> Elsewhere:
    here = Surroundings(is_root=False, home=tmp_path, prefix=tmp_path)
    flags = {}
    if text is not None:
        flags["accounts_elsewhere"] = str(tmp_path / "elsewhere.toml")
        (tmp_path / "elsewhere.toml").write_text(text)
        (tmp_path / "elsewhere.toml").chmod(mode)
    return elsewhere(load(flags, variables, here))


def test_options_are_the_first_accounts_alone(tmp_path: Path) -> None:
    assert found(tmp_path) == {FIRST: {}}
    given = {
        "SQUIB_SQS_ENDPOINT": "http://a",
        "SQUIB_SQS_ACCESS_KEY_ID": "key",
        "SQUIB_SQS_SECRET_ACCESS_KEY": SECRET,
        "SQUIB_DYNAMODB_ENDPOINT": "http://b",
    }
    of_first = {
        "sqs": UpstreamOptions(endpoint="http://a", access_key_id="key", secret_access_key=SECRET),
        "dynamodbstreams": UpstreamOptions(endpoint="http://b"),
    }
    assert found(tmp_path, **given) == {FIRST: of_first}
    assert SECRET not in repr(of_first)


def test_a_file_has_those_of_other_accounts(tmp_path: Path) -> None:
    text = (
        '[111122223333.kinesis]\nendpoint = "https://k"\naccess_key_id = "id"\n'
        'secret_access_key = "s"\nsession_token = "t"\n[000000000000.s3]\nendpoint = "http://s3"\n'
    )
    assert found(tmp_path, text, SQUIB_SQS_ENDPOINT="http://a") == {
        FIRST: {"s3": UpstreamOptions(endpoint="http://s3"), "sqs": UpstreamOptions(endpoint="http://a")},
        OTHER: {
            "kinesis": UpstreamOptions(
                endpoint="https://k", access_key_id="id", secret_access_key="s", session_token="t"
            )
        },
    }


WRONG = [
    ("[", "is not TOML"),
    ("[1111.sqs]", "'1111' is not a table of an account"),
    ("111122223333 = 1", "'111122223333' is not a table of an account"),
    ("[111122223333.kinesi]", "111122223333.kinesi is no service; did you mean 'kinesis'"),
    ("[111122223333]\nsqs = 1", "111122223333.sqs is not a table"),
    ("[111122223333.sqs]\nendpiont = 'x'", "unknown key 'endpiont'; did you mean 'endpoint'"),
    ("[111122223333.sqs]\nendpoint = 'ftp://x'", "sqs.endpoint is not a URL"),
    ("[111122223333.sqs]", "sqs.endpoint is not a URL"),
    ("[111122223333.sqs]\nendpoint = 'http://x'\naccess_key_id = 'k'", "together"),
    ("[111122223333.sqs]\nendpoint = 'http://x'\nsession_token = 't'", "needs access_key_id"),
    (
        f"[111122223333.sqs]\nendpoint = 'http://x'\nsecret_access_key = '{SECRET} '",
        "sqs.secret_access_key is not a string",
    ),
    ("[000000000000.sqs]\nendpoint = 'http://x'", "give it once"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_cannot_be_used_is_refused_without_telling_secrets(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        found(tmp_path, text, SQUIB_SQS_ENDPOINT="http://a")
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't read"):
        found(tmp_path, SQUIB_ACCOUNTS_ELSEWHERE=str(tmp_path / "none"))


def test_a_file_of_keys_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    text = '[111122223333.s3]\nendpoint = "http://s3"\naccess_key_id = "id"\nsecret_access_key = "s"\n'
    for mode in (0o644, 0o602):
        with pytest.raises(SettingsError, match="everybody may read or write it: chmod 600"):
            found(tmp_path, text, mode=mode)
    assert found(tmp_path, text, mode=0o640)[OTHER]["s3"].secret_access_key == "s"
    without = '[111122223333.s3]\nendpoint = "http://s3"\n'
    assert found(tmp_path, without, mode=0o644)[OTHER]["s3"] == UpstreamOptions(endpoint="http://s3")
