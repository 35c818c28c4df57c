"""Mutation testing: would the tests notice a mistake in the core? Not one of the usual tests.

    python -m tests.mutation

mutmut changes one thing at a time in the modules that pyproject.toml names, such as a `<` to a `<=`
or an argument to None, and runs the tests that reach the changed function. A change that some test
fails for is killed. docs/mutation.md lists the changes that survive, with the reason. The command
prints how many are killed in each module, and what differs from that list. It fails if anything
does. The changed copies are in mutants/, for `mutmut browse`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
MUTMUT = Path(sys.executable).with_name("mutmut")
LIST = ROOT / "docs" / "mutation.md"
# A change that makes a function endless or crashes Python does not go unnoticed either.
KILLED = {"killed", "timeout", "segfault"}


def main() -> int:
    shutil.rmtree(ROOT / "mutants", ignore_errors=True)
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([MUTMUT, "run"], cwd=ROOT, env=one_thread, check=True)
    outcomes = re.findall(r"^ +(\S+): (.+)$", mutmut("results", "--all", "true"), re.MULTILINE)
    killed, made = Counter(), Counter()
    for name, outcome in outcomes:
        module = re.match(r"(.+)\.x", name)[1]
        made[module] += 1
        killed[module] += outcome in KILLED
    survivors = Counter(change(name) for name, outcome in outcomes if outcome not in KILLED)
    listed = Counter(re.findall(r"^```diff\n(.+?)\n```$", LIST.read_text("utf-8"), re.M | re.S))

    for module in sorted(made):
        print(f"{module:40} {killed[module]:5} of {made[module]:5} killed")
    share = killed.total() / made.total()
    print(f"{'all':40} {killed.total():5} of {made.total():5} killed, {share:.1%}")
    for title, changes in (
        ("survive and are not listed", survivors - listed),
        ("are listed but do not survive", listed - survivors),
    ):
        print(f"{changes.total()} {title} in {LIST.relative_to(ROOT)}")
        print(*(f"```diff\n{lines}\n```" for lines in changes.elements()), sep="\n")
    return int(survivors != listed)


def mutmut(*arguments: str) -> str:
    return subprocess.check_output([MUTMUT, *arguments], cwd=ROOT, text=True)


def change(name: str) -> str:
    """The lines that the change takes away and adds, as a diff has them, without indentation."""
    lines = re.findall(r"^([-+])(?![-+]{2} ) *(.*)$", mutmut("show", name), re.MULTILINE)
    return "\n".join(sign + line for sign, line in lines)


if __name__ == "__main__":
    sys.exit(main())
