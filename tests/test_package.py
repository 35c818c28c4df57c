import subprocess
import sys

import pytest

import fastrcnn


@pytest.mark.parametrize("name", fastrcnn.__all__)
def test_every_public_name_is_there(name):
    found = getattr(fastrcnn, name)
    assert found.__name__ == name and found.__module__.startswith("fastrcnn.")


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'FasterRCNN'"):
        fastrcnn.FasterRCNN  # noqa: B018


def test_importing_the_package_alone_imports_no_torch():
    code = "import sys, fastrcnn; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_core_never_imports_gradio():
    code = (
        "import sys, fastrcnn.__main__, fastrcnn.training, fastrcnn.bench.speed; "
        "sys.exit('gradio' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
