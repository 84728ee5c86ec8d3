"""Settings: precedence, refusals by name, and the table they come from."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squib.config import (
    BY_NAME,
    OPTIONS,
    Settings,
    SettingsError,
    Surroundings,
    default_file,
    is_loopback,
    load,
)

NO_HOME = Path("/nonexistent/home")
HERE = Surroundings(is_root=False, home=NO_HOME, prefix=Path("/opt/squib"))


def settings(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: str | None = None,
) -> Settings:
    return load(flags or {}, environ or {}, HERE, config=config)


def write(folder: Path, text: str) -> str:
    path = folder / "squib.toml"
    path.write_text(text)
    return str(path)


def test_defaults_listen_on_loopback_and_trust_nobody() -> None:
    result = settings()
    assert (result.server.host, result.server.port) == ("127.0.0.1", 4566)
    assert result.server.is_loopback
    assert result.identity.trust_any_credentials is False
    assert result.identity.account_id == "000000000000"
    assert result.environments.idle_expiry_s == 900
    assert result.runtimes.runtime_path == ()


def test_data_dir_depends_on_being_root() -> None:
    root = Surroundings(is_root=True, home=NO_HOME, prefix=Path("/opt/squib"))
    assert load({}, {"SQUIB_CONFIG": "/dev/null"}, root).storage.data_dir == Path("/var/lib/squib")
    assert settings().storage.data_dir == NO_HOME / ".local/share/squib"
    assert settings().runtimes.runtime_dir == Path("/opt/squib/share/squib/runtimes")


def test_flag_beats_variable_beats_file_beats_default(tmp_path: Path) -> None:
    config = write(tmp_path, 'port = 1\nregion = "eu-west-1"\nlog_level = "error"\n')
    result = settings({"port": "3"}, {"SQUIB_PORT": "2", "SQUIB_REGION": "eu-central-1"}, config)
    assert result.server.port == 3
    assert result.identity.region == "eu-central-1"
    assert result.logging.log_level == "error"
    assert result.logging.log_format == "text"


def test_variable_names_the_settings_file(tmp_path: Path) -> None:
    config = write(tmp_path, "port = 1\n")
    assert settings(environ={"SQUIB_CONFIG": config}).server.port == 1


def test_default_file_is_read_when_present(tmp_path: Path) -> None:
    here = Surroundings(is_root=False, home=tmp_path, prefix=Path("/opt/squib"))
    default_file(here).parent.mkdir(parents=True)
    default_file(here).write_text("port = 77\n")
    assert load({}, {}, here).server.port == 77


def test_empty_variable_counts_as_not_set() -> None:
    assert settings(environ={"SQUIB_PORT": ""}).server.port == 4566


def test_other_variables_are_not_looked_at() -> None:
    assert settings(environ={"PORT": "x", "AWS_REGION": "x"}) == settings()


def test_every_kind_reads_from_the_file(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        'trust_any_credentials = true\nruntime_path = ["/opt/a", "/opt/b"]\ndata_dir = "/srv/x/../squib"\n',
    )
    result = settings(config=config)
    assert result.identity.trust_any_credentials is True
    assert result.runtimes.runtime_path == (Path("/opt/a"), Path("/opt/b"))
    assert result.storage.data_dir == Path("/srv/squib")


def test_list_is_separated_by_colons_or_repeated() -> None:
    wanted = (Path("/a"), Path("/b"), Path("/c"))
    assert settings(environ={"SQUIB_RUNTIME_PATH": "/a:/b:/c"}).runtimes.runtime_path == wanted
    assert settings({"runtime_path": ["/a", "/b:/c"]}).runtimes.runtime_path == wanted


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SQUIB_PROT": "1"}, "unknown environment variable SQUIB_PROT; did you mean 'SQUIB_PORT'?"),
        ({"SQUIB_XYZZY_PLUGH": "1"}, "unknown environment variable SQUIB_XYZZY_PLUGH"),
        ({"SQUIB_PORT": "65536"}, "SQUIB_PORT: 65536 is not an integer from 0 to 65535"),
        ({"SQUIB_PORT": "4.5"}, "SQUIB_PORT: '4.5' is not an integer from 0 to 65535"),
        ({"SQUIB_CPU": "share"}, "SQUIB_CPU: 'share' is not one of shares, quota; did you mean 'shares'?"),
        ({"SQUIB_ACCOUNT_ID": "12"}, "SQUIB_ACCOUNT_ID: '12' is not an account id, a string of 12 digits"),
        ({"SQUIB_REGION": "Earth"}, "SQUIB_REGION: 'Earth' is not a region name such as eu-west-1"),
        (
            {"SQUIB_TRUST_ANY_CREDENTIALS": "perhaps"},
            "SQUIB_TRUST_ANY_CREDENTIALS: 'perhaps' is not true or false",
        ),
        ({"SQUIB_HOST": "a b"}, "SQUIB_HOST: 'a b' is not a host name or address"),
        ({"SQUIB_CONFIG": "/nonexistent/x.toml"}, "the settings file /nonexistent/x.toml does not exist"),
        (
            {"SQUIB_ROOT_ACCESS_KEY_ID": "A" * 20},
            "SQUIB_ROOT_SECRET_ACCESS_KEY is missing: SQUIB_ROOT_ACCESS_KEY_ID is given, and one "
            "needs the other",
        ),
        (
            {"SQUIB_S3_ACCESS_KEY_ID": "key"},
            "SQUIB_S3_SECRET_ACCESS_KEY is missing: SQUIB_S3_ACCESS_KEY_ID is given, and one needs the other",
        ),
        (
            {"SQUIB_ROOT_SECRET_ACCESS_KEY": "A" * 20},
            "SQUIB_ROOT_ACCESS_KEY_ID is missing: SQUIB_ROOT_SECRET_ACCESS_KEY is given, and one "
            "needs the other",
        ),
    ],
)
def test_bad_variable_is_refused_by_name(environ: Mapping[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(environ=environ)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1\n", "{path}: unknown key 'prot'; did you mean 'port'?"),
        ('data-dir = "/x"\n', "{path}: unknown key 'data-dir'; did you mean 'data_dir'?"),
        ("[server]\nport = 1\n", "{path}: unknown key 'server'"),
        ("port = true\n", "{path}: port: True is not an integer from 0 to 65535"),
        (
            "account_id = 123456789012\n",
            "{path}: account_id: 123456789012 is not an account id, a string of 12 digits",
        ),
        ("runtime_path = [1]\n", "{path}: runtime_path: 1 is not a path"),
        ("runtime_path = 1\n", "{path}: runtime_path: 1 is not a list of directories"),
        ("port = \n", "{path} is not TOML: Invalid value (at line 1, column 8)"),
    ],
)
def test_bad_file_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as refusal:
        settings(config=path)
    assert str(refusal.value) == message.format(path=path)


def test_secret_is_never_repeated() -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(environ={"SQUIB_ROOT_ACCESS_KEY_ID": "A" * 20, "SQUIB_ROOT_SECRET_ACCESS_KEY": "hush"})
    assert "hush" not in str(refusal.value)
    given = {"SQUIB_ROOT_ACCESS_KEY_ID": "A" * 20, "SQUIB_ROOT_SECRET_ACCESS_KEY": "hush" * 10}
    result = settings(environ=given)
    assert result.identity.root_secret_access_key == "hush" * 10
    assert "hush" not in repr(result)


def test_trust_is_refused_off_loopback() -> None:
    assert settings({"trust_any_credentials": True, "host": "::1"}).identity.trust_any_credentials
    with pytest.raises(SettingsError, match=r"refused with host 0\.0\.0\.0"):
        settings({"trust_any_credentials": True, "host": "0.0.0.0"})


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_every_setting_has_exactly_one_row() -> None:
    sections = (field.type for field in dataclasses.fields(Settings))
    fields = [(section, field.name) for section in sections for field in dataclasses.fields(section)]  # type: ignore[arg-type]  # each is a dataclass
    assert sorted(name for _, name in fields) == sorted(BY_NAME) == sorted(option.name for option in OPTIONS)
    assert all((BY_NAME[name].section, name) == (section, name) for section, name in fields)


@given(st.dictionaries(st.sampled_from([option.variable for option in OPTIONS]), st.text(max_size=20)))
def test_any_text_is_taken_or_refused_by_name(environ: dict[str, str]) -> None:
    try:
        result = settings(environ=environ)
    except SettingsError as refusal:
        assert any(
            name in str(refusal) or name.lower()[6:] in str(refusal).replace("-", "_") for name in environ
        )
    else:
        assert 0 <= result.server.port <= 65_535
