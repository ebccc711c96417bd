"""`ayatori topology`: applies, exports, compares documents; prints their JSON Schema."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from actors.state.document import (
    Change,
    Document,
    DocumentError,
    DocumentUnreadable,
    ObjectError,
    apply_onto,
    changes,
    compile_document,
    decode_object,
    decompile,
    json_schema,
    load_document,
    parse_bytes,
    read_stored,
    render,
    to_plain,
)
from actors.state.document.load import MAX_BYTES
from actors.state.store.interface import Conflict, Store, StoreError
from actors.state.store.open import open_store, with_credential
from cli.errors import CommandError, ExitStatus
from cli.options import AsJson

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Apply, export or compare a topology document.",
)

STORE_VARIABLE = "AYATORI_STORE"
"""Environment variable: the store's URL when --store is not given."""

AUTH_VARIABLE = "AYATORI_STORE_AUTH"
"""Environment variable: the file with the store's credential when --store-auth is not given."""

_FILE = "sqlite:///"
_EMPTY = "memory:empty"
"""What is read in place of a file that is not there."""

_File = Annotated[str, typer.Argument(metavar="FILE", help="The document; - for standard input.")]
_Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help=f"The store; else ${STORE_VARIABLE}, else that of the running lab.",
    ),
]
_Auth = Annotated[
    Path | None,
    typer.Option(
        "--store-auth",
        metavar="FILE",
        help=f"File with the store's user:password, else ${AUTH_VARIABLE}.",
    ),
]

_VERBS = {"+": "create", "~": "update", "-": "delete"}


@app.command()
def apply(file: _File, store: _Store = None, auth: _Auth = None, as_json: AsJson = False) -> None:
    """Make the virtual network what FILE says: all of it, or nothing at all."""
    document = _load(file)
    with _opened(store, auth) as opened:
        stored = read_stored(opened)
        made = changes(stored, compile_document(document))
        apply_onto(opened, stored, document)
    if as_json:
        _print_json({"changes": [_plain_change(each) for each in made]})
    elif not made:
        typer.echo("nothing to change")
    else:
        counts = (
            f"{sum(each.mark == mark for each in made)} {verb}d" for mark, verb in _VERBS.items()
        )
        _print_changes(made)
        typer.echo(f"applied: {', '.join(counts)}")


@app.command()
def export(store: _Store = None, auth: _Auth = None, as_json: AsJson = False) -> None:
    """Print the virtual network as a document. To apply it again changes nothing."""
    with _opened(store, auth, to_read=True) as opened:
        try:
            document = decompile(decode_object(each.data) for each in read_stored(opened).objects)
        except ObjectError as error:
            raise CommandError(f"{opened.url}: {error}") from None
    if as_json:
        _print_json(to_plain(document))
    else:
        typer.echo(render(document), nl=False)


@app.command()
def diff(file: _File, store: _Store = None, auth: _Auth = None, as_json: AsJson = False) -> None:
    """Show what `apply` of FILE would change: exit status 0 if nothing, else 1."""
    document = _load(file)
    with _opened(store, auth, to_read=True) as opened:
        found = changes(read_stored(opened), compile_document(document))
    if as_json:
        _print_json({"equal": not found, "changes": [_plain_change(each) for each in found]})
    else:
        _print_changes(found)
    if found:
        raise typer.Exit(ExitStatus.FAILED)


@app.command()
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of the document."""
    _print_json(json_schema())


def _load(file: str) -> Document:
    try:
        if file == "-":
            return parse_bytes(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>")
        return load_document(Path(file))
    except DocumentUnreadable as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from None
    except DocumentError as error:
        raise CommandError(str(error), ExitStatus.USAGE) from None


def _store_url(given: str | None, auth: Path | None) -> str:
    """Return the store's URL. Raises CommandError, StoreError."""
    told = os.environ.get(AUTH_VARIABLE)
    file = auth if auth is not None else Path(told) if told else None
    url = given or os.environ.get(STORE_VARIABLE)
    if url:
        return with_credential(url, file)
    from cli.lab.registry import find_lab  # noqa: PLC0415 - only who needs a lab pays for it

    lab = find_lab(None)
    if lab is None:
        raise CommandError(
            f"which store? Give --store URL, or set {STORE_VARIABLE}, or start a lab",
            ExitStatus.USAGE,
        )
    return lab.store_url


@contextlib.contextmanager
def _opened(given: str | None, auth: Path | None, *, to_read: bool = False) -> Iterator[Store]:
    try:
        url = _store_url(given, auth)
        store = open_store(_EMPTY if to_read and _yet_to_be_made(url) else url)
        try:
            yield store
        finally:
            store.close()
    except Conflict as error:
        message = f"another apply came between, nothing was changed: {error}"
        raise CommandError(message, ExitStatus.CONFLICT) from None
    except StoreError as error:
        raise CommandError(str(error), ExitStatus.NOT_FOUND) from None


def _yet_to_be_made(url: str) -> bool:
    """Tell whether the store is a file that is not there; to read it is no reason to make it."""
    path = Path(url.removeprefix(_FILE))
    if not url.startswith(_FILE) or path.exists() or not path.parent.is_dir():
        return False
    typer.echo(f"note: {url}: there is no such file yet: empty", err=True)
    return True


def _print_changes(found: tuple[Change, ...]) -> None:
    for each in found:
        typer.echo(f"{each.mark} {each.kind} {each.name}")
        for detail in each.details:
            typer.echo(f"    {detail}")


def _plain_change(change: Change) -> dict[str, object]:
    return {
        "change": _VERBS[change.mark],
        "kind": change.kind,
        "name": change.name,
        "details": [str(detail) for detail in change.details],
    }


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))
