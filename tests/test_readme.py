"""The block at the top of README.md makes the repository a Hugging Face Space."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def configuration() -> dict[str, str]:
    block = README.split("---\n")[1]
    return dict(re.findall(r"^(\w+): (.+)$", block, re.MULTILINE))


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_the_space_starts_this_app_with_a_gradio_that_we_require():
    space = configuration()
    assert README.startswith("---\n") and space["sdk"] == "gradio"
    required = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    least, below = re.search(r"^gradio>=([\d.]+),<(\d+)$", required, re.MULTILINE).groups()
    assert version(least) <= version(space["sdk_version"]) < version(below)
    assert (ROOT / space["app_file"]).is_file() and (ROOT / space["thumbnail"]).is_file()


def test_what_the_hub_shows_fits():
    space = configuration()
    assert len(space["short_description"]) <= 60
    assert {space["colorFrom"], space["colorTo"]} <= {
        *("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
    }
    assert space["license"] == "apache-2.0" and len(space["emoji"]) == 1


def test_every_picture_in_the_readme_is_there():
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert shown and all((ROOT / path).is_file() for path in shown)
