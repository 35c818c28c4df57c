"""README.md makes the repository a Space and gives the limits; documents' links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fastrcnn.ui.hosting.limits import Limits

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")],
)


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


def test_the_space_has_versions_that_zero_gpu_lists():
    document = (ROOT / "docs" / "space.md").read_text(encoding="utf-8")
    assert re.search(r"as it was on 20\d\d-\d\d-\d\d:\n", document)
    rows = dict(re.findall(r"^\| (Python|PyTorch) \| (.+) \|$", document, re.MULTILINE))
    assert configuration()["python_version"].strip('"') in rows["Python"].split(", ")
    lines = (ROOT / "pre-requirements.txt").read_text(encoding="utf-8").splitlines()
    (torch,) = (Requirement(line) for line in lines if line.startswith("torch>="))
    listed = re.findall(r"[\d.]+", rows["PyTorch"])
    assert any(number in torch.specifier for number in listed)
    above = f"{version(listed[-1])[0]}.{version(listed[-1])[1] + 1}"
    assert above not in torch.specifier  # nothing newer than the list


def test_the_block_has_all_that_a_space_is_configured_by():
    block = README.split("---\n")[1]
    assert set(re.findall(r"^(\w+):", block, re.MULTILINE)) == {
        *("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version"),
        *("app_file", "short_description", "thumbnail", "license", "suggested_hardware", "tags"),
    }
    assert configuration()["suggested_hardware"] == "cpu-basic"
    # Without quotes YAML would take 3.10 for 3.1.
    assert re.fullmatch(r'"3\.\d+"', configuration()["python_version"])
    assert len(re.findall(r"^  - [\w-]+$", block, re.MULTILINE)) >= 3


def test_what_the_hub_shows_fits():
    space = configuration()
    assert len(space["short_description"]) <= 60
    assert {space["colorFrom"], space["colorTo"]} <= {
        *("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
    }
    assert space["license"] == "apache-2.0" and len(space["emoji"]) == 1


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_and_picture_leads_to_something(document):
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
        path, _, place = target.partition("#")
        if path.startswith("https://"):
            continue
        file = (document.parent / path) if path else document
        assert file.exists(), target
        assert not place or place in anchors(file), target


def anchors(document: Path) -> list[str]:
    """The names that its headings can be linked to by."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings]


def test_the_first_screen_has_a_way_in_for_everyone():
    first = README[: README.index("## ")]
    assert "python app.py\n```" in first and "](docs/lesson.md)" in first
    assert "```python\n" in first and "](docs/own-data.md)" in first
    assert len(first.split("---\n")[2].splitlines()) < 50


def test_the_table_of_limits_is_that_of_the_program():
    document = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = re.findall(r"^  \| `FASTRCNN_(\w+)` \| (\d+) \|", document, re.MULTILINE)
    documented = {name.lower(): float(value) for name, value in rows}
    assert documented == {name: field.default for name, field in Limits.model_fields.items()}
