"""The command line: `fastrcnn COMMAND --help`, or `python -m fastrcnn COMMAND --help`.

Answers go to standard output, progress and errors to standard error. The exit code is 0
for success, 1 for an input that could not be used, 2 for a wrong command line, and 130 for an
interrupted run.

Each command has its own module, with its options beside its body. Modules that take seconds to
import (torch, Numba) are imported in the body, so that `--help` and a wrong option are answered at
once.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fastrcnn import __version__
from fastrcnn.cli import (
    app,
    bench,
    compress,
    detect,
    error_analysis,
    evaluate,
    export,
    half_precision,
    paper,
    proposals,
    recall,
    shapes,
    shared,
    train,
)
from fastrcnn.errors import FastRCNNError, reason

__all__ = ["commands", "main"]


class _Commands(TyperGroup):
    """Runs the command. An error ends it with one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            code = super().invoke(ctx) or 0
            sys.stdout.flush()
        except FastRCNNError as error:
            print(f"error: {error}", file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            code = 130
        except OSError as error:
            if error.filename is None:  # standard output
                _end_output(error)
            else:
                print(f"error: {error.filename} cannot be used: {reason(error)}.", file=sys.stderr)
            code = 1
        raise typer.Exit(code)


def _end_output(error: OSError) -> None:
    """End after an error of standard output."""
    # Otherwise Python would write it again at exit and print an error.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # If the reader of a pipe (for example head) has ended, this is no error to report.
    if not isinstance(error, BrokenPipeError):
        print(f"error: The answer cannot be written: {reason(error)}.", file=sys.stderr)


class _Notes(logging.Handler):
    """Shows the package's own log messages. Of several processes only the first one shows them."""

    def emit(self, record: logging.LogRecord) -> None:
        if shared.is_first_process():
            shared.say(record.getMessage())


_notes = _Notes(logging.INFO)
commands = typer.Typer(
    cls=_Commands,
    help="Fast R-CNN: find the objects in photographs, and train what finds them.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text looks the same everywhere and takes half the time
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"fastrcnn {__version__}")
        raise typer.Exit


@commands.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """The options that stand before a command."""


for _command in (
    app.app,
    detect.detect,
    proposals.proposals,
    train.train,
    evaluate.evaluate,
    error_analysis.error_analysis,
    paper.paper,
    half_precision.half_precision,
    recall.recall,
    compress.compress,
    export.export,
    bench.bench,
    shapes.shapes,
):
    commands.command()(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. By default it is the process's command line."""
    # The name of a photograph may hold bytes that are no text.
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
    log = logging.getLogger("fastrcnn")
    log.setLevel(logging.INFO)
    log.addHandler(_notes)
    try:
        commands(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
