"""The page's JavaScript modules: how they are served, and that they fit each other."""

from __future__ import annotations

import json
import posixpath
import re

import httpx
import pytest

from fastrcnn.ui.shared.modules import ADDRESS, FILES
from tests.ui.conftest import served

SCRIPTS = {path: body.decode() for path, body in FILES.items() if path.endswith(".js")}
IMPORT = re.compile(r'^import (?:\{ ([^}]+) \} from )?"([^"]+)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?:const|let|async function|function|class) (.+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def http(detector):
    with served(detector) as (_, address), httpx.Client(base_url=address) as http:
        yield http


@pytest.mark.parametrize(
    ("path", "kind"),
    [("explore/main.js", "text/javascript"), ("texts/ko.json", "application/json")],
)
def test_a_file_is_served_as_it_is_and_kept_for_good(http, path, kind):
    reply = http.get(f"/{ADDRESS}/{path}")
    assert reply.status_code == 200 and reply.content == FILES[path]
    assert reply.headers["content-type"].startswith(kind)
    assert "immutable" in reply.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    [
        *("shared/view.py", "explore/explore.html", "texts/__init__.py", "nosuch.js", ""),
        *("../page.py", "%2e%2e/page.py", "/etc/hostname", "explore/../../../app.py"),
    ],
)
def test_nothing_else_is_served(http, path):
    assert http.get(f"/{ADDRESS}/{path}").status_code == 404


def test_another_version_has_another_address(http):
    assert http.get("/modules/0123456789abcdef/explore/main.js").status_code == 404


def exports(script: str) -> set[str]:
    """The names that a module exports; of a list of constants, each one."""
    names = set()
    for rest in EXPORT.findall(script):
        if rest.startswith("{"):
            names |= set(re.findall(r"\$*\w*", rest[1 : rest.index("}")])) - {""}
        else:
            names.add(re.match(r"[$\w]+", rest)[0])
            names |= set(re.findall(r", ([A-Z]+) = ", rest))
    return names


def imports(path: str) -> list[tuple[str, list[str]]]:
    """The modules that one imports, each with the names it wants of it."""
    folder = posixpath.dirname(path)
    return [
        (posixpath.normpath(posixpath.join(folder, other)), names.split(", ") if names else [])
        for names, other in IMPORT.findall(SCRIPTS[path])
    ]


@pytest.mark.parametrize("path", SCRIPTS)
def test_what_a_module_imports_is_there_and_used(path):
    for other, names in imports(path):
        assert set(names) <= exports(SCRIPTS[other]), other
        rest = IMPORT.sub("", SCRIPTS[path])
        for name in names:
            assert re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", rest), name


@pytest.mark.parametrize("tab", ["explore", "train"])
def test_every_module_of_a_tab_is_reached_from_its_main(tab):
    seen, left = set(), [f"{tab}/main.js"]
    while left:
        path = left.pop()
        if path not in seen:
            seen.add(path)
            left += [other for other, _ in imports(path)]
    assert {path for path in SCRIPTS if path.startswith(f"{tab}/")} <= seen
    # What both share knows neither of them.
    assert not [
        p for p in seen if p.startswith("shared/") for o, _ in imports(p) if "shared/" not in o
    ]


def test_no_station_knows_another():
    stations = {"grouping", "proposals", "pooling", "head", "result"}
    for name in stations:
        others = {posixpath.basename(other)[:-3] for other, _ in imports(f"explore/{name}.js")}
        assert not others & stations
    for name in ("photo", "life", "lessons", "link", "stations", "analysis"):
        others = {posixpath.basename(other)[:-3] for other, _ in imports(f"explore/{name}.js")}
        assert not others & stations, name


def test_the_texts_are_valid_json_in_the_same_files_that_python_reads():
    for language in ("en", "ko"):
        assert json.loads(FILES[f"texts/{language}.json"])
