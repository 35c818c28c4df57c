"""What the tests of the commands need: a detector that answers in no time, caches of their own."""

from __future__ import annotations

import pytest

from fastrcnn.proposals import prepare


@pytest.fixture(scope="session", autouse=True)
def _compiled():
    """On a computer that has never run selective search a command says first that it compiles."""
    prepare()


@pytest.fixture(autouse=True)
def _tiny_by_default(monkeypatch, tiny_checkpoint, tmp_path):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.setenv("FASTRCNN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"not a picture")
    return path


def one_sentence(text: str) -> bool:
    lines = text.strip().splitlines()
    return len(lines) == 1 and lines[0].startswith("error: ") and lines[0][-1] in ".?"
