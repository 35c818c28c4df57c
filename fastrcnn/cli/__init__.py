"""The command line: `python -m fastrcnn COMMAND --help`.

Answers go to standard output, progress and errors to standard error. Exit code 0 is success, 1 an
input that could not be used, 2 a command line that could not, 130 a run that was interrupted.

A module is a command: its options beside its body. What takes seconds to import (torch, Numba) is
imported in the body, so that `--help` and a wrong option are answered at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from fastrcnn.cli import (
    ablate,
    bench,
    compress,
    detect,
    error_analysis,
    evaluate,
    export,
    half_precision,
    proposals,
    recall,
    shapes,
    shared,
    train,
)
from fastrcnn.errors import FastRCNNError, reason

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """Runs the command that was asked for; what stops it is one sentence and an exit code."""

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
            _end_output(error)
            code = 1
        raise typer.Exit(code)


def _end_output(error: OSError) -> None:
    """Errors of files are caught where they are read and written: this is standard output."""
    # Python would try to write it again at exit, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # Where whoever read it (head, say) has gone, nobody needs to be told.
    if not isinstance(error, BrokenPipeError):
        print(f"error: The answer cannot be written: {reason(error)}.", file=sys.stderr)


class _Notes(logging.Handler):
    """What the package itself has to say, of several processes the first one's."""

    def emit(self, record: logging.LogRecord) -> None:
        if shared.is_first_process():
            shared.say(record.getMessage())


_notes = _Notes(logging.INFO)
app = typer.Typer(
    cls=_Commands,
    help="Fast R-CNN: find the objects in photographs, and train what finds them.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text reads the same everywhere, and takes half the time
)
for _command in (
    detect.detect,
    proposals.proposals,
    train.train,
    evaluate.evaluate,
    error_analysis.error_analysis,
    ablate.ablate,
    half_precision.half_precision,
    recall.recall,
    compress.compress,
    export.export,
    bench.bench,
    shapes.shapes,
):
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of the process, and return its exit code."""
    log = logging.getLogger("fastrcnn")
    log.setLevel(logging.INFO)
    log.addHandler(_notes)
    try:
        app(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0
