"""What holds for every command: errors, exit codes, help, a fast start."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import typer

import fastrcnn
from fastrcnn.cli import commands, main, shared
from fastrcnn.proposals import MODES
from tests.cli.conftest import one_sentence

COMMANDS = (
    "app",
    *("detect", "proposals", "train", "evaluate", "error-analysis", "half-precision"),
    *("compress", "recall", "export", "bench", "shapes", "paper"),
)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train", "--recipe", "papre", "--data", "{voc}", "--out", "{tmp}"], "paper"),
        (
            ["train", "--recipe", "paper", "--data", "{voc}", "--out", "{tmp}", "--set", "lrr=1"],
            "lr",
        ),
        (["evaluate", "--data", "{tmp}"], "{tmp}"),
        (["evaluate", "--data", "{voc}", "--split", "nosuch"], "nosuch"),
        (["detect", "{photo}", "--checkpoint", "{photo}"], "{photo}"),
        (["detect", "{photo}", "--checkpoint", "nosuch.safetensors"], "nosuch.safetensors"),
        (["detect", "{photo}", "--json", "nosuch/found.json"], "nosuch/found.json"),
        (["detect", "{photo}", "--save", "{photo}"], "{photo}"),
        (["proposals", "nosuch.jpg"], "nosuch.jpg"),
        (["shapes", "--out", "{photo}"], "{photo}"),
        *(
            (["evaluate", "--data", "{voc}", "--detections", "none.json", *option], option[0])
            for option in (
                ["--score-threshold", "0.01"],  # the default, but given
                ["--nms-threshold", "0"],
                ["--vote-threshold", "none"],
                ["--max-proposals", "1"],
                ["--flip"],
                ["--pyramid", "banana"],
                ["--proposals", "nowhere.mat"],
                ["--checkpoint", "nowhere"],
            )
        ),
        (
            ["error-analysis", "--data", "{voc}", "--detections", "none.json", "--checkpoint", "x"],
            "--checkpoint",
        ),
        *(
            (["train", "--recipe", recipe, "--data", data, "--out", "{tmp}/x", *option], option[0])
            for recipe, data, option in (
                ("walkthrough", "{voc}", ["--val-limit", "1"]),
                ("paper", "{photo}", ["--val-split", "nonsense"]),
                ("paper", "{voc}", ["--backbone-weights", "nowhere", "--init", "x"]),
            )
        ),
        (["proposals", "{photo}", "--save", "{tmp}/drawn.nosuch"], "drawn.nosuch"),
        (["evaluate", "--data", "{long}"], "{long}"),
        (["recall", "--data", "{long}/shapes"], "{long}"),
        (["detect", "{photo}", "--proposals", "{long}.npz"], "{long}"),
        (["detect", "{photo}", "--json", "{long}.json"], "{long}"),
        (["detect", "{photo}", "--json", "{long}/found.json"], "{long}"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(command, message, voc, photo, tmp_path, capsys):
    # A name that no file system takes.
    places = {"voc": voc, "photo": photo, "tmp": tmp_path, "long": "x" * 300}
    assert main([word.format(**places) for word in command]) == 1
    captured = capsys.readouterr()
    assert one_sentence(captured.err), captured.err
    assert message.format(**places) in captured.err


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["nosuch"],
        ["detect"],
        ["detect", "a.jpg", "--score-threshold", "1.5"],
        ["detect", "a.jpg", "--score-threshold", "nan"],
        ["detect", "a.jpg", "--score-threshold", "half"],
        ["detect", "a.jpg", "--max-proposals", "0"],
        ["proposals", "a.jpg", "--mode", "slow"],
        ["proposals", "a.jpg", "--seed", "-1"],
        ["shapes"],
        ["shapes", "--out", "set", "--train", "0"],
    ],
)
def test_a_wrong_command_line_exits_with_2(command):
    assert main(command) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command, capsys):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert re.match(rf"Usage: .*{command} \[OPTIONS\]", printed)
    options = typer.main.get_command(commands).commands[command].params
    assert all(option.help.endswith(".") for option in options)
    assert main(["--help"]) == 0
    assert f"\n  {command} " in capsys.readouterr().out


def test_the_modes_are_those_of_selective_search():
    assert {mode.value for mode in shared.SearchMode} == MODES.keys()


@pytest.mark.parametrize("arguments", [["--help"], ["detect", "--help"], ["train", "--lr", "1"]])
def test_help_and_wrong_options_wait_for_no_heavy_import(arguments):
    code = (
        "import sys\n"
        "from fastrcnn.cli import main\n"
        f"main({arguments})\n"
        "assert not {'torch', 'numba', 'numpy', 'cv2'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastrcnn {fastrcnn.__version__}\n"


def test_without_gradio_the_page_is_refused_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)  # as if it were not installed
    assert main(["app"]) == 1
    assert capsys.readouterr().err == (
        "error: The page needs gradio; install it with: pip install gradio.\n"
    )


def test_python_m_fastrcnn_is_the_command_line():
    command = [sys.executable, "-m", "fastrcnn"]
    run = subprocess.run([*command, "detect"], capture_output=True, text=True)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("Usage: python -m fastrcnn detect [OPTIONS] ")
    run = subprocess.run([*command, "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == ""


@pytest.mark.parametrize(
    "command",
    [
        ["detect", "{photo}"],
        *([name, "--data", "{voc}"] for name in ("evaluate", "error-analysis", "half-precision")),
        ["train", "--recipe", "laptop", "--data", "{voc}", "--out", "{tmp}"],
    ],
)
def test_what_computes_takes_a_device(command, voc, photo, tmp_path, capsys):
    places = {"voc": voc, "photo": photo, "tmp": tmp_path}
    words = [word.format(**places) for word in command]
    assert main([*words, "--device", "abacus"]) == 1
    printed = capsys.readouterr().err
    assert one_sentence(printed) and "abacus" in printed and "cpu" in printed
