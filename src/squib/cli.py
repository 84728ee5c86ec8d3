"""The command line: argument parsing only. Each command imports what it needs when it runs.

Exit codes: 0 done; 1 it could not be done; 2 the command line or the settings are wrong. Errors go to stderr.
"""

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from squib import __version__
from squib.commands.asking import ASKING
from squib.commands.command import Command
from squib.config import (
    BY_NAME,
    CONFIG_VARIABLE,
    OPTIONS,
    Option,
    Settings,
    SettingsError,
    Surroundings,
    did_you_mean,
    load,
)
from squib.config.kinds import DIRECTORIES
from squib.model.errors import SquibError

if TYPE_CHECKING:
    from squib.environment.runtimes import RuntimeSearch

RUNTIME_OPTIONS: Final = ("runtime_dir", "runtime_path")


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Runs one command; gives its exit code."""
    environ = os.environ if environ is None else environ
    try:
        return _main(sys.argv[1:] if argv is None else argv, environ)
    except SystemExit as stop:  # argparse: help (0) or a usage error (2), already printed
        return stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    subparser: argparse.ArgumentParser = arguments.parser
    if unknown:
        _refuse_unknown(subparser, unknown)
    command: Command | None = arguments.command
    if command is None:
        subparser.print_help(sys.stderr)
        return 2
    flags = {
        name: getattr(arguments, name) for name in command.options if getattr(arguments, name) is not None
    }
    try:
        settings = load(flags, environ, Surroundings.here(), config=arguments.config)
    except SettingsError as error:
        subparser.error(str(error))
    try:
        return command.run(settings, arguments)
    except (SquibError, OSError) as error:
        print(f"{subparser.prog}: error: {error}", file=sys.stderr)
        return 1


def _refuse_unknown(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> NoReturn:
    word = unknown[0].split("=")[0]
    known = [
        flag for action in parser._actions for flag in action.option_strings
    ]  # argparse has no other way
    parser.error(f"unrecognized argument {word}{did_you_mean(word, known)}")


# --- commands


def _serve(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.app import run

    return run(settings)


def _env(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.store import endpoint
    from squib.store.credentials import CredentialsUnreadable, RootCredentials

    data_dir = settings.storage.data_dir
    start = f"start it with: squib serve --data-dir {shlex.quote(str(data_dir))}"
    try:
        running = endpoint.read(data_dir)
        credentials = RootCredentials.load(data_dir)
    except FileNotFoundError:
        return _fail("squib env", _no_squib_yet(data_dir))
    except PermissionError:
        return _fail("squib env", _closed(data_dir))
    except CredentialsUnreadable as error:
        return _fail("squib env", str(error))
    if running is None or not running.is_alive():
        return _fail("squib env", f"no squib is running on {data_dir}; {start}")
    account_id = arguments.account or credentials.default_account_id
    if account_id not in credentials.keys:
        return _fail(
            "squib env", f"there is no account {account_id}; make it with: squib account create {account_id}"
        )
    key = credentials.keys[account_id]
    region = arguments.region or running.region
    variables = {
        "AWS_ENDPOINT_URL": running.url,
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
    }
    if "AWS_SESSION_TOKEN" in os.environ:
        print("unset AWS_SESSION_TOKEN")
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _env_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--account", metavar="ID", help="account whose root key is printed; else the default one"
    )


def _account_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("account", nargs="?", metavar="ID", help="twelve digits; random when left out")


def _account_create(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.clock import SystemEntropy
    from squib.model.units import AccountId
    from squib.store.credentials import RootCredentials

    wanted = arguments.account
    if wanted is not None and not (len(wanted) == 12 and wanted.isascii() and wanted.isdigit()):
        return _fail("squib account create", f"{wanted} is not an account id, which has 12 digits")
    data_dir = settings.storage.data_dir
    try:
        key = RootCredentials.add(data_dir, None if wanted is None else AccountId(wanted), SystemEntropy())
    except FileNotFoundError:
        return _fail("squib account create", _no_squib_yet(data_dir))
    except PermissionError:
        return _fail("squib account create", _closed(data_dir))
    account_id = key.principal.account_id
    where = f" --data-dir {shlex.quote(str(data_dir))}" if arguments.data_dir is not None else ""
    print(f"account {account_id} made; point AWS tools at it with:")
    print(f'  eval "$(squib env{where} --account {account_id})"')
    return 0


def _account_list(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.store.credentials import RootCredentials

    data_dir = settings.storage.data_dir
    try:
        credentials = RootCredentials.load(data_dir)
    except FileNotFoundError:
        return _fail("squib account list", _no_squib_yet(data_dir))
    except PermissionError:
        return _fail("squib account list", _closed(data_dir))
    print("ACCOUNT       ROOT ACCESS KEY")
    for account_id, key in sorted(credentials.keys.items()):
        note = "  default" if account_id == credentials.default_account_id else ""
        print(f"{account_id}  {key.access_key_id}{note}")
    return 0


def _no_squib_yet(data_dir: Path) -> str:
    start = f"squib serve --data-dir {shlex.quote(str(data_dir))}"
    return f"no squib has run on {data_dir} yet; start it with: {start}"


def _closed(data_dir: Path) -> str:
    return f"{data_dir} is closed to this account: use the one that started squib, or sudo"


def _fail(prog: str, message: str) -> int:
    print(f"{prog}: error: {message}", file=sys.stderr)
    return 1


def _doctor(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.environment.doctor import machine

    findings = machine.probe(_runtime_search(settings), settings.storage.data_dir)
    print(machine.report_json(findings) if arguments.json else machine.report(findings))
    return machine.exit_code(findings)


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def _install_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="runtime name, such as python3.12")
    parser.add_argument("--all", action="store_true", help="every runtime whose interpreter is here")


def _runtimes_list(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.environment import runtimes

    print(runtimes.main_list(_runtime_search(settings)))
    return 0


def _runtimes_install(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.environment import runtimes

    return runtimes.main_install(arguments.names, _runtime_search(settings), install_all=arguments.all)


def _runtime_search(settings: Settings) -> "RuntimeSearch":
    from squib.environment.runtimes import RuntimeSearch

    return RuntimeSearch(
        extra_paths=settings.runtimes.runtime_path, runtime_dir=settings.runtimes.runtime_dir
    )


def _version(settings: Settings, arguments: argparse.Namespace) -> int:
    print(f"squib {__version__} (Python {platform.python_version()}, {sys.prefix})")
    return 0


COMMANDS: Final = (
    Command(
        name="serve",
        help="run squib: all services on one endpoint",
        epilog="""\
When it can take requests it prints one line, `squib ready on http://HOST:PORT`. SIGTERM and Ctrl-C let
running invocations finish, then stop it. The first start makes an account with a root access key.

examples:
  squib serve
  squib serve --port 0 --data-dir ./state       a free port, state in this folder
  squib serve --isolation sandbox               rather no start than a weaker isolation
  sudo squib serve --user squib                 full isolation; requests are served by the account squib
""",
        options=tuple(option.name for option in OPTIONS if option.has_flag),
        run=_serve,
    ),
    Command(
        name="env",
        help="print the export lines that point AWS tools at a running squib",
        epilog="""\
examples:
  eval "$(squib env)"                           then: aws lambda list-functions
  eval "$(squib env --data-dir ./state)"
  eval "$(squib env --account 111122223333)"    the root of another account
  sudo squib env --data-dir /var/lib/squib      when squib was started as root
""",
        options=("data_dir", "region"),
        run=_env,
        arguments=_env_arguments,
    ),
    Command(
        name="account create",
        help="make an account with a root access key of its own",
        epilog="""\
Works while squib runs, which takes the account in at once, and while it does not. Functions, roles, queues
and limits are an account's own.

examples:
  squib account create                          an account with a random id
  squib account create 111122223333
""",
        options=("data_dir",),
        run=_account_create,
        arguments=_account_arguments,
    ),
    Command(
        name="account list",
        help="list the accounts and their root access keys, without secrets",
        epilog="""\
examples:
  squib account list
  squib account list --data-dir ./state
""",
        options=("data_dir",),
        run=_account_list,
    ),
    *ASKING,
    Command(
        name="doctor",
        help="say what this machine offers, what is missing, and the command that mends it",
        epilog="""\
Exit code: 0 functions run isolated, 1 they run with less isolation or fewer limits, 2 they cannot run.

examples:
  squib doctor
  squib doctor --json | jq '.[] | select(.status != "ok")'
""",
        options=("data_dir", *RUNTIME_OPTIONS),
        run=_doctor,
        arguments=_doctor_arguments,
    ),
    Command(
        name="runtimes list",
        help="list Lambda runtimes and what runs each of them here",
        epilog="""\
examples:
  squib runtimes list
  squib runtimes list --runtime-path /opt/python/3.13/bin
""",
        options=RUNTIME_OPTIONS,
        run=_runtimes_list,
    ),
    Command(
        name="runtimes install",
        help="install the runtime interface clients that functions run on",
        epilog="""\
Needs the interpreter on this machine, and the package index that pip is set up for.

examples:
  squib runtimes install python3.12
  squib runtimes install --all                  every interpreter that is found
""",
        options=RUNTIME_OPTIONS,
        run=_runtimes_install,
        arguments=_install_arguments,
    ),
    Command(name="version", help="print the version", epilog="", options=(), run=_version),
)
GROUPS: Final = {
    "account": "make and list accounts",
    "runtimes": "list and install what functions run on",
}

_EPILOG: Final = """\
first steps:
  squib doctor                   is this machine ready?
  squib serve &                  run it
  eval "$(squib env)"            point AWS tools at it
  aws lambda list-functions

Every option is also a SQUIB_* variable and a key of the settings file; see `squib serve --help`.
"""


_POSITIONALS: Final = {
    "runtimes install": " [NAME ...]",
    "account create": " [ID]",
    "explain": " REQUEST-ID",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="squib",
        description="squib: AWS Lambda on your own machines.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"squib {__version__}")
    parser.set_defaults(command=None, parser=parser)
    levels = {"": parser.add_subparsers(metavar="COMMAND")}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        if group not in levels:
            folder = levels[""].add_parser(group, help=GROUPS[group], description=GROUPS[group] + ".")
            folder.set_defaults(command=None, parser=folder)
            levels[group] = folder.add_subparsers(metavar="COMMAND")
        subparser = levels[group].add_parser(
            name,
            help=command.help,
            description=command.help[0].upper() + command.help[1:] + ".",
            epilog=command.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            usage=f"squib {command.name} [options]" + (_POSITIONALS.get(command.name, "")),
            allow_abbrev=False,
        )
        subparser.set_defaults(command=command, parser=subparser)
        if command.arguments is not None:
            command.arguments(subparser)
        subparser.add_argument("--config", metavar="FILE", help=f"settings file, TOML [{CONFIG_VARIABLE}]")
        for option_name in command.options:
            _add_option(subparser, BY_NAME[option_name])
    return parser


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    text = f"{option.help} Default: {option.default_text}. [{option.variable}]".replace("%", "%%")
    if isinstance(option.default, bool):
        parser.add_argument(option.flag, action="store_const", const=True, dest=option.name, help=text)
    elif option.kind is DIRECTORIES:
        parser.add_argument(option.flag, action="append", metavar="DIR", dest=option.name, help=text)
    else:
        metavar = "|".join(option.kind.choices) or option.name.rsplit("_", 1)[-1].upper()
        parser.add_argument(option.flag, metavar=metavar, dest=option.name, help=text)
