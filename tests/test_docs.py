"""What the documents say can be done is done here, and every public name has its sentence."""

from __future__ import annotations

import doctest
import glob
import importlib
import inspect
import pkgutil
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import typer

import fastrcnn
from fastrcnn.cli import commands, main
from fastrcnn.detector import Detector
from fastrcnn.ui.page import build, launch

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OTHERS = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
PYTHON = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
TEXT = "\n".join([README, *OTHERS]).replace("\\\n", " ")
COMMANDS = re.findall(r"^(?:[^\s`]*python3?|torchrun .*) -m fastrcnn (.+)$", TEXT, re.MULTILINE)
# Those that take seconds and need nothing but the photographs that come with the project.
QUICK = [line for line in COMMANDS if re.match(r"(detect|proposals) ", line)]
(EXPORT,) = [line for line in COMMANDS if line.startswith("export ")]
# Too large to be installed for the tests; that its lines are Python is all that is known of them.
NOT_HERE = {"fiftyone"}
MODULES = sorted(info.name for info in pkgutil.walk_packages(fastrcnn.__path__, prefix="fastrcnn."))


def words(command: str) -> list[str]:
    """As a shell would give them, but of many files only the first two."""
    parts = [sorted(glob.glob(word))[:2] or [word] for word in shlex.split(command, comments=True)]
    return [word for part in parts for word in part]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder to write into that has the photographs where the documents say they are."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def address(tiny_checkpoint, tmp_path_factory):
    page = build(
        Detector.from_checkpoint(tiny_checkpoint, "single"), tmp_path_factory.mktemp("examples")
    )
    _, url, _ = launch(page, prevent_thread_lock=True, quiet=True, inbrowser=False)
    yield url
    page.close()


def test_the_readme_has_what_is_tested_here():
    assert len(PYTHON) >= 3 and len(QUICK) >= 3 and len(COMMANDS) > len(QUICK)


def test_the_readmes_python_runs(place, address, tiny_checkpoint, monkeypatch):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    # The README exports the network before it uses it.
    assert main(words(EXPORT)) == 0
    names: dict[str, object] = {}
    for text in PYTHON:
        code = compile(text.replace("http://127.0.0.1:7860", address), "README.md", "exec")
        if not any(module in text and find_spec(module) is None for module in NOT_HERE):
            exec(code, names)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documents_commands_are_commands(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    group = typer.main.get_command(commands)
    context = group.make_context("fastrcnn", words(command))
    name, chosen, rest = group.resolve_command(context, words(command))
    assert chosen.make_context(name, rest, parent=context).params


@pytest.mark.parametrize("command", QUICK)
def test_the_documents_quick_commands_run(command, place, tiny_checkpoint, monkeypatch):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    before = {*place.iterdir()}
    assert main(words(command)) == 0
    # Each writes what it names.
    written = {path.name for path in {*place.iterdir()} - before}
    assert written and all(name in command for name in written)


@pytest.mark.parametrize("name", fastrcnn.__all__)
def test_the_reference_has_every_name_that_can_be_imported(name):
    assert f"`{name}" in README


@pytest.mark.parametrize("name", ["fastrcnn", *MODULES])
def test_the_examples_in_docstrings_give_what_they_say(name, place, monkeypatch):
    monkeypatch.delenv("FASTRCNN_CHECKPOINT", raising=False)
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_in_docstrings():
    finder = doctest.DocTestFinder()
    tests = [test for name in MODULES for test in finder.find(importlib.import_module(name))]
    assert sum(len(test.examples) for test in tests) > 0
    assert finder.find(fastrcnn)[0].examples


def public(module: ModuleType) -> dict[str, object]:
    """A module's own functions and classes, and those classes' own methods and properties."""
    found: dict[str, object] = {}
    for name, value in vars(module).items():
        is_class = inspect.isclass(value)
        if not (is_class or inspect.isfunction(value)) or value.__module__ != module.__name__:
            continue
        found[name] = value
        for attribute, member in vars(value).items() if is_class else ():
            kinds = (property, classmethod, staticmethod)
            if isinstance(member, kinds) or inspect.isfunction(member):
                found[f"{name}.{attribute}"] = getattr(value, attribute)
    return {name: value for name, value in found.items() if not re.search(r"(^|\.)_", name)}


def is_described(name: str, value: object) -> bool:
    """By itself or by what it overrides; what dataclass makes up does not count."""
    text = inspect.getdoc(value)
    return bool(text) and not text.startswith(f"{name}(")


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert [name for name, value in public(module).items() if not is_described(name, value)] == []


def test_every_module_is_in_the_picture_of_the_house():
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    drawn = set(re.findall(r"\w+", " ".join(re.findall(r'class="file".*?>(.*?)<', picture))))
    for module in MODULES:
        room, _, name = module.rpartition(".")
        is_package = find_spec(module).submodule_search_locations is not None
        if not is_package and room != "fastrcnn.cli":  # a file a command
            assert name in drawn or name in ("__main__", "errors"), module
