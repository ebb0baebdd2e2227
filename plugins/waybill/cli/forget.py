"""The command that forgets a person: forget."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from waybill.cli.terminal import app, operating_system_user, print_line, report_errors

if TYPE_CHECKING:
    from waybill.erasure.forget import Certificate
    from waybill.erasure.search import Hit

_LISTED = 20


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@report_errors
def forget(
    context: typer.Context,
    domain: Annotated[str, typer.Option(help="The domain, whose manifest declares kinds of people.")],
    confirm: Annotated[bool, typer.Option("--confirm", help="Erase. Without it, only list the places.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Only search for the person.")] = False,
    value: Annotated[
        list[str] | None,
        typer.Option(help="A text of the person alone, such as an e-mail address. Repeatable."),
    ] = None,
    asked_by: Annotated[
        str | None, typer.Option(help="Who asked for it, such as the number of the request. Default: the user.")
    ] = None,
    certificate: Annotated[int | None, typer.Option(help="Only print the certificate of an erasure, as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Forget people: --KIND ID names one, with a kind that the manifest declares, such as --customer 123. Repeatable.

    Without --confirm nothing is changed: the command lists each place with its numbers. With --verify, it searches the
    warehouse, the lake and the published files; the exit code is 1 if something is found.
    """
    from waybill.erasure.forget import forget as forget_people
    from waybill.erasure.forget import stored_certificate
    from waybill.errors import DataError
    from waybill.run import Run, code_version
    from waybill.warehouse.connection import connect

    people = _people(context.args)
    if certificate is not None:
        with connect() as connection:
            print_line(json.dumps(stored_certificate(connection, certificate), indent=2))
        return
    if not people:
        raise DataError(f"Name a person, as in `waybill forget --domain {domain} --KIND ID`")
    if verify:
        if confirm:
            raise DataError("--verify and --confirm exclude each other: first erase, then search")
        _verify(domain, people, value or [], as_json=as_json)
        return
    by = asked_by or operating_system_user()
    with connect() as connection:
        found = forget_people(
            connection, domain, people, Run("forget", code_version()), by, is_dry=not confirm, values=value or ()
        )
    if as_json:
        print_line(json.dumps([asdict(one) for one in found], indent=2))
        return
    for one in found:
        _print(one, is_dry=not confirm)


def _people(given: list[str]) -> list[tuple[str, str]]:
    """Return (kind, id) of each person. Raises `DataError` for anything but pairs of `--KIND ID`."""
    from waybill.errors import DataError

    words: list[str] = []
    for word in given:
        name, sign, text = word.partition("=")
        words += [name, text] if word.startswith("--") and sign else [word]
    if len(words) % 2 or any(not kind.startswith("--") for kind in words[::2]):
        raise DataError("Name each person with a kind and an id, as in --customer 123")
    return [
        (kind.removeprefix("--").replace("-", "_"), text) for kind, text in zip(words[::2], words[1::2], strict=True)
    ]


def _verify(domain: str, people: list[tuple[str, str]], values: list[str], *, as_json: bool) -> None:
    import boto3

    from waybill.erasure.search import search
    from waybill.formatting import count
    from waybill.outputs.iceberg_tables import open_catalog
    from waybill.warehouse.connection import connect

    s3 = boto3.client("s3")
    catalog = open_catalog(boto3.Session(), s3)
    found: list[Hit] = []
    with connect() as connection:
        for kind, given in people:
            found += search(connection, s3, catalog, domain, kind, given, values)
    if as_json:
        print_line(json.dumps([asdict(one) for one in found], indent=2))
    for one in () if as_json else found:
        later = f" (rewritten by the next run of {one.rewritten_by} after the erasure)" if one.rewritten_by else ""
        print_line(f"{one.place}: {one.number:,}{later}", "yellow")
    if found:
        if not as_json:
            print_line(f"Found in {count(len(found), 'place')}.")
        raise typer.Exit(1)
    if not as_json:
        print_line("Nothing was found in the warehouse, the current files of the lake and the published files.")


def _print(one: Certificate, *, is_dry: bool) -> None:
    from waybill.contracts.domains import load_manifest
    from waybill.formatting import count

    what = f"a {one.kind} of {one.domain}"
    if one.is_empty:
        print_line(_why_empty(one, what, is_dry=is_dry))
    else:
        head = "Would erase" if is_dry else f"Erasure {one.erasure}: erased"
        print_line(f"{head} {what}. The id becomes {one.tombstone}, in {', '.join(one.columns)}.")
        print_line(f"Classified columns: {', '.join(one.erased_columns) or 'none'}.")
        for place, rows in one.erased.items():
            print_line(f"  {place}: {count(rows, 'row')}")
    if one.waiting:
        print_line(f"Rewritten by the next run of {load_manifest(one.domain).dag}:")
        for each in one.waiting:
            unit = next(name for name in ("row", "day", "object") if f"{name}s" in each)
            print_line(f"  {each['place']}: {count(each[f'{unit}s'], unit)}")
    print_line("Left, for others to remove:")
    for part in one.left[:_LISTED]:
        print_line(f"  {part['place']}: {part['what']}; {part['until']}")
    if len(one.left) > _LISTED:
        print_line(f"  {_LISTED} of {len(one.left)} places are listed; --json lists all.")
    if is_dry:
        print_line("Nothing was changed. To erase, add --confirm.")


def _why_empty(one: Certificate, what: str, *, is_dry: bool) -> str:
    if one.erasures_before:
        return f"Nothing of {what} is left to erase: the person was forgotten before."
    found = f"No row of {one.domain} names this {one.kind}. Check the id."
    return found if is_dry else f"{found} Files that name the person later are loaded without (erasure {one.erasure})."
