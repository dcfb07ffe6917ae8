"""The command: every check, a table or JSON, and an exit code."""

from dataclasses import asdict

from cli.command import Json
from cli.doctor.check import Check, worst
from cli.doctor.machine import check_machine
from cli.doctor.places import check_places
from cli.errors import CommandError
from cli.output import print_json, print_line, print_table


def doctor(as_json: Json = False) -> None:
    """Check this machine, the settings, the model store and the catalog, and say what to do about each.

    Nothing is changed. The exit code is 1 if a check failed; a warning does not fail.
    """
    checks = [*check_machine(), *check_places()]
    if as_json:
        print_json({"state": worst(checks), "checks": [asdict(check) for check in checks]})
    else:
        _print(checks)
    failed = sum(check.state == "fail" for check in checks)
    if failed:
        raise CommandError(f"{failed} of {len(checks)} checks failed")


def _print(checks: list[Check]) -> None:
    rows = [(check.state, check.name, check.detail) for check in checks]
    print_table("", ("state", "what", "how it is"), rows)
    for check in checks:
        if check.remedy:
            print_line(f"{check.name}: {check.remedy}")
    if worst(checks) == "ok":
        print_line("everything is ready")
