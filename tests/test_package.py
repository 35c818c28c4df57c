import inspect
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastrcnn


@pytest.mark.parametrize("name", fastrcnn.__all__)
def test_every_public_name_is_there(name):
    found = getattr(fastrcnn, name)
    assert found.__name__ == name and found.__module__.startswith("fastrcnn.")


@pytest.mark.parametrize("name", fastrcnn.__all__)
def test_help_shows_every_public_name_with_what_it_is(name):
    assert inspect.getdoc(getattr(fastrcnn, name))
    text = pydoc.plain(pydoc.render_doc(fastrcnn))
    assert re.search(rf"^    (class )?{name}\b", text, re.MULTILINE)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'FasterRCNN'"):
        fastrcnn.FasterRCNN  # noqa: B018


def test_the_documents_name_the_version():
    root = Path(__file__).parents[1]
    citation = (root / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", citation, re.M)[1] == fastrcnn.__version__
    changes = (root / "CHANGELOG.md").read_text()
    assert re.search(r"^## ([\d.]+)", changes, re.M)[1] == fastrcnn.__version__


def test_importing_the_package_alone_imports_no_torch():
    code = "import sys, fastrcnn; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.system
def test_the_core_imports_nothing_that_draws_or_serves():
    code = (
        "import sys, fastrcnn.cli, fastrcnn.training, fastrcnn.benchmarks.speed; "
        "sys.exit(bool({'gradio', 'matplotlib', 'pandas'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.system
def test_the_page_does_not_wait_for_torchs_compiler(tiny_checkpoint):
    code = (
        "import sys\n"
        "import fastrcnn.ui.page\n"
        "fastrcnn.Detector.from_checkpoint()\n"
        "assert not {'torch._dynamo', 'torchvision', 'matplotlib'} & sys.modules.keys()\n"
    )
    environment = os.environ | {"FASTRCNN_CHECKPOINT": str(tiny_checkpoint)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("THP_MEM_ALLOC_ENABLE", "1"),
        ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64"),
        ("LRU_CACHE_CAPACITY", "16"),
    ],
)
@pytest.mark.parametrize("theirs", [None, "0"])
def test_how_memory_is_taken_is_set_unless_told_otherwise(name, ours, theirs):
    code = f"import os, fastrcnn; assert os.environ['{name}'] == '{theirs or ours}'"
    environment = {k: v for k, v in os.environ.items() if k != name}
    if theirs is not None:
        environment[name] = theirs
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
