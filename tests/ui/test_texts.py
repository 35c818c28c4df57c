"""The page's texts: none is missing in either language, and none stands anywhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fastrcnn.errors import FastRCNNError
from fastrcnn.ui import texts
from fastrcnn.ui.shared.replies import error_reply
from fastrcnn.ui.texts import LANGUAGES, TEXTS, text, text_of
from fastrcnn.ui.train.form import KNOBS, RECIPE_NAMES

UI = Path(texts.__file__).parents[1]
SCRIPTS = sorted(UI.rglob("*.js"))
TEMPLATES = sorted(UI.rglob("*.html"))
# What programs and whoever runs the page read, as on the command line; no visitor does.
NOT_SHOWN = {
    *("api.py", "limits.py", "modules.py"),
    *("middleware.py", "json_requests.py", "upload_requests.py", "gradio_private.py"),
}
MODULES = sorted(path for path in UI.rglob("*.py") if path.name not in NOT_SHOWN)

# The same in every language: names, and the letters of formulas.
NAMES = set(
    re.findall(
        r"\S+",
        "RoI RoIAlign IoU mAP PNG JSON NMS HSV Lab VGG16 s_colour s_texture s_size s_fill L_cls "
        "L_loc nms fc6 fc7 softmax exp log Fast CNN x1 y1 x2 y2 Pw Ph Px Py dx dy dw dh W6 b6 W7 "
        "b7 max",
    )
)
# Where Korean needs no word, or fits the one in English.
ALIKE = {"pooling.range", "fate.and", "doing.counted", "count.4", "count.5", "count.6", "count.13"}


def markup(value: str) -> tuple[list[str], list[str]]:
    """The values that a text wants and the terms that it explains, sorted."""
    terms = re.findall(r"\[[\w -]+\|([\w-]+)\]|\[([\w-]+)\]", value)
    return sorted(set(re.findall(r"\{(\w+)\}", value))), sorted({a or b for a, b in terms})


def test_each_language_has_the_same_texts_with_the_same_values_and_terms():
    assert tuple(TEXTS) == LANGUAGES and "en" in TEXTS and "ko" in TEXTS
    for language, own in TEXTS.items():
        assert own.keys() == TEXTS["en"].keys(), language
        for key, value in own.items():
            assert value.strip(), key
            assert markup(value) == markup(TEXTS["en"][key]), key


def test_every_term_is_explained():
    used = {term for value in TEXTS["en"].values() for term in markup(value)[1]}
    for path in TEMPLATES:
        used |= set(re.findall(r'data-term="([^"]+)"', path.read_text("utf-8")))
    assert {f"term.{term}" for term in used} <= TEXTS["en"].keys()


def test_korean_is_written_in_hangul_wherever_english_has_a_word_that_is_no_name():
    for key, english in TEXTS["en"].items():
        bare = re.sub(r"\{\w+\}|\|[\w-]+\]", " ", english)
        words = set(re.findall(r"[A-Za-z]\w+", bare)) - NAMES
        assert not re.search("[가-힣]", english), key
        assert not words or key in ALIKE or re.search("[가-힣]", TEXTS["ko"][key]), key


def test_no_korean_particle_is_left_to_the_reader():
    # "영역 921이(가)": which of the two fits depends on a value, so the sentence must do without.
    assert not [
        key for key, value in TEXTS["ko"].items() if re.search("\\((으|는|가|를)\\)", value)
    ]
    # "16로", "0.53로": the same of a number. A percentage always ends in the same sound, and so do
    # 1/{stride}, which is read "of {stride} one", and the words in {best}.
    particle = r"(?<!1/)\{(?!best|silent|score)\w+\}(으로|로|이|가|은|는|을|를|와|과)(?![가-힣])"
    assert not [key for key, value in TEXTS["ko"].items() if re.search(particle, value)]


def test_every_text_is_used_and_every_text_that_is_used_is_there():
    literal, beginnings = set(), set()
    for path in SCRIPTS:
        for piece in literals(path.read_text("utf-8")):
            literal.add(piece)
        beginnings |= set(re.findall(r"`([\w-]+(?:\.[\w-]+)*\.)\$\{", path.read_text("utf-8")))
        keys = re.findall(r'\b(?:text|pieces)\("([^"]+)"', path.read_text("utf-8"))
        assert set(keys) <= TEXTS["en"].keys(), path.name
        several = re.findall(r'\bcounted\("([^"]+)"', path.read_text("utf-8"))
        assert {f"{key}.one" for key in several} <= TEXTS["en"].keys(), path.name
        beginnings |= {f"{key}." for key in several}
    for path in TEMPLATES:
        keys = re.findall(r'data-t(?:ext|-\w+)="([^"]+)"', path.read_text("utf-8"))
        assert set(keys) <= TEXTS["en"].keys(), path.name
        literal |= set(keys)
    for path in UI.rglob("*.py"):
        keys = re.findall(r'\b(?:text|gradio_text)\(\s*"([^"]+)"', path.read_text("utf-8"))
        assert set(keys) <= TEXTS["en"].keys(), path.name
        literal |= set(keys)
    unused = {
        key for key in TEXTS["en"] if key not in literal and not key.startswith(tuple(beginnings))
    }
    assert not unused


def test_what_is_named_by_the_package_has_its_texts():
    names = {f"knob.{knob.name}.{part}" for knob in KNOBS for part in ("label", "text")}
    names |= {f"recipe.{name}" for name in RECIPE_NAMES}
    assert names <= TEXTS["en"].keys()


def test_each_question_has_an_answer_in_a_view_that_exists():
    script = (UI / "explore" / "whys.js").read_text("utf-8")
    template = (UI / "explore" / "explore.html").read_text("utf-8")
    panels = re.split(r'id="explore-(\w+)" aria-labelledby', template)
    views = {
        station: re.findall(r'data-view="(\w*)"', panel)
        for station, panel in zip(panels[1::2], panels[2::2], strict=True)
    }
    listed = re.findall(r'^  (\w+): \{ station: "(\w+)", view: (null|"\w+")', script, re.MULTILINE)
    names = {key.split(".")[1] for key in TEXTS["en"] if key.startswith("why.") and ".a" in key}
    assert {name for name, *_ in listed} == names and len(listed) == 7
    for _, station, view in listed:
        assert ("" if view == "null" else view.strip('"')) in views[station]


def test_the_list_has_the_questions_of_both_tabs_and_the_train_tabs_lead_to_what_exists():
    script = (UI / "train" / "question-list.js").read_text("utf-8")
    page = "".join(path.read_text("utf-8") for path in (UI / "train").glob("*.[hj][ts]*"))
    listed = re.findall(
        r'^  "?([\w-]+)"?: \{ place: (.*?)(?:, panel.*| \}|, exp.*)', script, re.MULTILINE
    )
    names = {key.split(".")[1] for key in TEXTS["en"] if re.match(r"question\..*\.ask$", key)}
    assert {name for name, _ in listed} == names and len(listed) == 8
    for name, place in listed:
        assert f"question.{name}.answer" in TEXTS["ko"]
        (target,) = re.findall(r"[#.]([\w-]+)|data-plot=\"(\w+)\"", place)
        assert next(filter(None, target)) in page


def test_an_error_of_the_page_crosses_as_a_key_and_one_from_below_as_it_is():
    ours = FastRCNNError(text("server.share", name="nms_threshold"))
    assert str(ours) == text_of(ours) == "nms_threshold must be a number from 0 to 1."
    assert error_reply(text_of(ours)) == {
        "error": str(ours),
        "text": {"key": "server.share", "values": {"name": "nms_threshold"}},
    }
    assert error_reply(text_of(FastRCNNError("It is broken."))) == {"error": "It is broken."}
    with pytest.raises(KeyError):
        text("server.nothing")


# No text anywhere else


def literals(script: str) -> Iterator[str]:
    """The strings of JavaScript, and the parts of its templates between ${...}."""
    at, depth = 0, []  # depth: open braces within each template's ${...}
    while at < len(script):
        if script.startswith("//", at):
            at = script.find("\n", at) if "\n" in script[at:] else len(script)
        elif script[at] == '"' or (script[at] == "'" and script[at - 1] in "(=, [{"):
            end = at + 1
            while script[end] != script[at]:
                end += 2 if script[end] == "\\" else 1
            yield script[at + 1 : end]
            at = end + 1
        elif script[at] == "`" or (script[at] == "}" and depth and depth[-1] == 0):
            if script[at] == "}":
                depth.pop()
            end = at + 1
            while script[end] != "`" and not script.startswith("${", end):
                end += 2 if script[end] == "\\" else 1
            yield script[at + 1 : end]
            if script[end] != "`":
                depth.append(0)
                end += 1
            at = end + 1
        elif script[at] == "/" and script[:at].rstrip()[-1:] in "(,=!&|?:[{;":
            at = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\\\n])+/\w*").match(script, at).end()
        else:
            if depth:
                depth[-1] += {"{": 1, "}": -1}.get(script[at], 0)
            at += 1


def is_prose(value: str) -> bool:
    """Two words in a row, or a word that begins like a sentence or a label."""
    return bool(re.search(r"[A-Za-z]{2,}[,;:.]? [A-Za-z]{2,}|^\s*[A-Z][a-z]{2,}\W*$", value))


# Keys of the keyboard, fonts, classes, selectors, media queries, formulas and kinds of data.
NO_PROSE = re.compile(
    r"^(Arrow(Left|Right|Up|Down)|Page(Up|Down)|Escape|Enter|Delete|Backspace|Files"
    r"|key (orange|blue)|link skip.*"
    r"|guess verdict|input, select, .*|\(prefers-.*\)|bar-fill.*|part.*|[#.]\S+ \S.*"
    r"|\\u011c. = .*)$|system-ui, sans-serif"
)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_script_has_words_of_its_own(path):
    script = path.read_text("utf-8")
    found = [piece for piece in literals(script) if is_prose(piece) and not NO_PROSE.search(piece)]
    assert not found


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_words_of_its_own(path):
    found = []

    class Words(HTMLParser):
        def handle_data(self, data: str) -> None:
            if re.search(r"[A-Za-z]", data) and data.strip() not in ("x1", "y1", "x2", "y2"):
                found.append(data)

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            spoken = ("aria-label", "aria-roledescription", "title", "placeholder", "alt")
            found.extend(value for name, value in attrs if name in spoken)

    Words().feed(path.read_text("utf-8"))
    assert not found


# Commands to type, code for the browser, and names of threads, of data sets and of the method.
UNSEEN = re.compile(
    r"^(python -m fastrcnn .*|\(p\) => .*|#tabs .*|False"
    r"|\.\nimport\(new URL\(.|., \{ element, .*\n|training run|held-out pictures|Fast R-CNN"
    r"|, serial: .*|<script>.*)$"
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_no_module_has_words_of_its_own(path):
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        and is_prose(node.value)
        and not UNSEEN.search(node.value)
    ]
    assert not found


@pytest.mark.parametrize(
    ("script", "pieces"),
    [
        ('say("Press Play.") // "no"', ["Press Play."]),
        ("`a ${b({ c: 1 })} words here ${d}`", ["a ", " words here ", ""]),
        ("`out ${f(`in ${x} it`)} end`", ["out ", "in ", " it", " end"]),
        ('x.split(/"[^"]"/); y = "z"', ["z"]),
    ],
)
def test_the_strings_of_a_script_are_found(script, pieces):
    assert list(literals(script)) == pieces
    assert is_prose("Press Play.") and is_prose("Play") and is_prose("two words")
    assert not is_prose("aria-label") and not is_prose("#explore-head") and not is_prose("click")
