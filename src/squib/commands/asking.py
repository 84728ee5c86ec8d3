"""The commands that ask a running squib: arguments and help. Each imports what it needs when it runs."""

import argparse
from pathlib import Path
from typing import Final

from squib.commands.command import Command
from squib.config import Settings


def _ps(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.commands import ps

    ps.run(settings.storage.data_dir, arguments.account, as_json=arguments.json)
    return 0


def _ps_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", metavar="ID", help="only that account's")
    parser.add_argument("--json", action="store_true", help="print them as JSON")


def _usage(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.commands import usage

    usage.run(
        settings.storage.data_dir,
        arguments.account,
        form=arguments.form,
        from_=arguments.begin,
        to=arguments.end,
        prices=arguments.prices,
    )
    return 0


def _usage_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", metavar="ID", help="only that account's")
    parser.add_argument("--from", metavar="TIME", dest="begin", help="else since the beginning of the month")
    parser.add_argument("--to", metavar="TIME", dest="end", help="else until now")
    parser.add_argument("--prices", metavar="FILE", type=Path, help="TOML: what things cost")
    forms = parser.add_mutually_exclusive_group()
    forms.set_defaults(form="text")
    for form in ("csv", "json"):
        forms.add_argument(
            f"--{form}",
            action="store_const",
            const=form,
            dest="form",
            help=f"a row an hour, as {form.upper()}",
        )


def _explain(settings: Settings, arguments: argparse.Namespace) -> int:
    from squib.commands import explain

    explain.run(settings.storage.data_dir, arguments.request_id, as_json=arguments.json)
    return 0


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("request_id", metavar="REQUEST-ID", help="as in the error, or x-amzn-RequestId")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


ASKING: Final = (
    Command(
        name="ps",
        help="list the execution environments of a running squib",
        epilog="""\
MEMORY is the most that was used so far, and the function's size.

examples:
  squib ps
  squib ps --json | jq '.[] | select(.state == "busy")'
""",
        options=("data_dir",),
        run=_ps,
        arguments=_ps_arguments,
    ),
    Command(
        name="usage",
        help="print what functions have used, and what it would have cost",
        epilog="""\
Times are ISO 8601 in UTC, such as 2026-01-31 or 2026-01-31T12:00. Prices are in a file of yours:

  invocation = 0.0000002              each
  gb_second = 0.0000166667            of billed time
  provisioned_gb_second = 0.0000041667
  prepared_gb_second = 0.0000097222   of billed time in provisioned environments
  [region.eu-south-1]                 what differs in a region
  gb_second = 0.0000195

examples:
  squib usage
  squib usage --from 2026-01-01 --to 2026-02-01 --csv --prices prices.toml
""",
        options=("data_dir",),
        run=_usage,
        arguments=_usage_arguments,
    ),
    Command(
        name="explain",
        help="say why a call was denied, and what to do about it",
        epilog="""\
A running squib remembers the last 10,000 denials.

examples:
  squib explain 8476a536-e9f4-11e8-9739-2dfe598c3fcd
""",
        options=("data_dir",),
        run=_explain,
        arguments=_explain_arguments,
    ),
)
