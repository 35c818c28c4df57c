"""`bench`: how long everything takes."""

from __future__ import annotations

import statistics
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from fastrcnn.cli import shared
from fastrcnn.errors import FastRCNNError, MissingPackageError

if TYPE_CHECKING:
    from fastrcnn.benchmarks.growth import Growth
    from fastrcnn.benchmarks.speed import SpeedRow


def bench(
    rows: Annotated[
        list[str] | None,
        typer.Argument(metavar="ROW", help="Only these rows and tables, not all."),
    ] = None,
    turns: Annotated[int, typer.Option(min=1, metavar="N", help="Turns of each, at least.")] = 5,
    json_file: shared.Json = None,
    device: shared.Device = "auto",
) -> None:
    """Time each stage beside a reference.

    Runs each stage and what it is compared with by turns, in this very run, until the medians are
    steady to a tenth (at most 40 turns). Prints medians, spread (slowest over fastest, less 1),
    turns and ratio, with the ratio that is wanted on a processor. Then how the cost grows with the
    picture (picture-size), the proposals (boxes) and the mini-batch (batch), what memory detecting
    takes (memory), and how long the package and the page take to start (start).
    """
    from fastrcnn.benchmarks import growth, speed
    from fastrcnn.benchmarks.memory import measure_memory, measure_start
    from fastrcnn.runtime.device import choose

    shared.check_target(json_file)
    known = (*speed.ROWS, *growth.TABLES, "memory", "start")
    for name in rows or ():
        if name not in known:
            raise FastRCNNError(f"There is no row {name!r}; there are {', '.join(known)}.")
    chosen = tuple(rows or known)
    show = (lambda line: None) if json_file == "-" else partial(print, flush=True)
    setup = speed.Setup(turns, choose(device))
    machine = speed.this_machine(setup.device)
    found: dict[str, object] = {"machine": vars(machine)}
    show(", ".join(f"{name} {value}" for name, value in vars(machine).items()))

    if stages := [name for name in speed.ROWS if name in chosen]:
        show(
            f"{'':20}{'ours, s':>10}{'spread':>8}{'other, s':>10}{'spread':>8}{'turns':>6}"
            f"{'ratio':>8}"
        )
        found["rows"] = measured = []
        for name in stages:
            try:
                row = speed.measure(name, setup)
            except MissingPackageError as error:
                shared.say(f"{name}: {error}")
                continue
            show(_speed_line(row))
            measured.append(vars(row) | {"ratio": row.ratio, "reached": row.reached})
    if tables := [name for name in growth.TABLES if name in chosen]:
        found["growth"] = grown = []
        for table in growth.measure_growth(tuple(tables), setup):
            show(_growth_lines(table))
            grown.append(vars(table) | {"exponents": table.exponents})
    if "memory" in chosen:
        memory = measure_memory()
        found["memory"] = vars(memory)
        for size, taken in memory.peak.items():
            show(f"detect takes at most {taken:.0f} MB for a photograph of {size}")
        held = ", ".join(f"{taken:.0f} after {count}" for count, taken in memory.after.items())
        show(f"over pictures of all sizes at most {memory.most:.0f} MB; between them {held}")
    if "start" in chosen:
        start = measure_start(turns)
        found["start"] = vars(start)
        show(f"import fastrcnn: {start.imported:.2f} s, Python included")
        show(f"app.py answers with its first page after {start.first_page:.2f} s")
    shared.write_json(found, json_file)


def _speed_line(row: SpeedRow) -> str:
    cells = "".join(
        f"{statistics.median(taken):10.3f}{max(taken) / min(taken) - 1:8.0%}"
        for taken in (row.seconds, row.reference_seconds)
    )
    wanted = f"{'<=' if row.floor else '>='} {row.target:g}"
    return f"{row.name:20}{cells}{len(row.seconds):6}{row.ratio:8.2f} {wanted:7} {row.reference}"


def _growth_lines(table: Growth) -> str:
    lines = [f"{table.name:20}{table.unit:>12}{'seconds':>10}{'growth':>8}  (1.00 is linear)"]
    for size, taken, power in zip(
        table.sizes, table.seconds, (None, *table.exponents), strict=True
    ):
        grown = "" if power is None else f"{power:8.2f}"
        lines.append(f"{'':20}{size:12,}{taken:10.3f}{grown}")
    return "\n".join(lines)
