"""A crowd on the page: `python -m tests.crowd --visitors 20 --minutes 5`.

Starts `python app.py` and lets visitors upload pictures, choose boxes, try the experiments, train,
teach a class of their own and leave in the middle. Each has pictures of its own and checks that
what comes back is about them. Prints what requests took and the server's memory before and after,
and ends with 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from fastrcnn.images import load_image
from fastrcnn.proposals import selective_search
from tests.crowd.crowd import Tally, still_answered, visit
from tests.server import Server

MB = 2**20
MOST_GROWTH = 0.05
COMPARED = 40  # answers whose proposals are computed again


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=1.0, help="minutes of the same before")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fastrcnn-crowd-") as folder:
        server = Server(Path(folder))
        try:
            wrong = crowd(server, options.visitors, 60 * options.warm_up, seed=1)
            before = server.settled_memory()
            wrong += crowd(server, options.visitors, 60 * options.minutes)
            wrong += check_growth(before, server.settled_memory())
        finally:
            server.close()
    for line in wrong:
        print(f"error: {line}")
    return 1 if wrong else 0


def crowd(server: Server, visitors: int, seconds: float, seed: int = 0) -> list[str]:
    """Let them come, print what there is to report, and give what was wrong, a line each."""
    tally = Tally()
    started = time.monotonic()
    visit(server.address, visitors, seconds, tally, seed)
    print(f"{visitors} visitors, {time.monotonic() - started:.0f} seconds")
    print(tally.latencies())
    left = still_answered(server.address, tally.tokens)
    threads, files = server.counts()
    print(f"afterwards {threads} threads, {files} open files")
    print(f"left in the middle: {tally.gone}")
    print(f"experiments that waited for their turn: {tally.waits}")
    for words, count in tally.polite.items():
        print(f"turned away politely, {words!r}: {count}")
    compared = check_proposals(tally)
    print(f"answers that were their askers' own: {len(tally.answers)}, {compared} to the last box")
    wrong = tally.errors + tally.foreign
    if left:
        wrong.append(f"{len(left)} of {len(tally.tokens)} are still answered when all have left")
    if "Traceback" in server.output:
        wrong.append(f"the server printed: {server.output}")
    if not server.is_alive():
        wrong.append("the server is no longer there")
    if not tally.answers:
        wrong.append("nobody was answered")
    return wrong


def check_growth(before: int, after: int) -> list[str]:
    """Print the server's memory, and give a line if it has grown too much."""
    growth = (after - before) / before
    print(f"memory before {before / MB:,.0f} MB, after {after / MB:,.0f} MB: {growth:+.1%}")
    return [f"the server's memory has grown by {growth:.1%}"] if growth > MOST_GROWTH else []


def check_proposals(tally: Tally) -> int:
    """Compute again what was answered, and note where that is another picture's."""
    some = tally.answers[:: max(len(tally.answers) // COMPARED, 1)]
    for answer in some:
        boxes = selective_search(load_image(answer.content), "fast").boxes[: len(answer.boxes)]
        if not np.array_equal(np.round(boxes, 1).tolist(), answer.boxes):
            tally.foreign.append("proposals that are not those of the picture that was sent")
    return len(some)


if __name__ == "__main__":
    sys.exit(main())
