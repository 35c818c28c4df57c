"""The tables of what grows with what, on a detector and sizes that take no time."""

from __future__ import annotations

import pytest
import torch

from fastrcnn.benchmarks import growth
from fastrcnn.benchmarks.growth import Growth, measure_growth
from fastrcnn.benchmarks.speed import Setup
from fastrcnn.cli import main


def test_growth_of_a_square_and_of_a_line():
    assert Growth("area", "metres", (1, 2, 8), (3.0, 12.0, 192.0)).exponents == (2, 2)
    assert Growth("line", "metres", (10, 1000), (0.5, 50.0)).exponents == pytest.approx((1,))


@pytest.fixture
def small(tiny_checkpoint, monkeypatch):
    monkeypatch.setenv("FASTRCNN_CHECKPOINT", str(tiny_checkpoint))
    monkeypatch.setattr(growth, "_SIDES", (60, 120))
    monkeypatch.setattr(growth, "_BOXES", (10, 40))
    monkeypatch.setattr(growth, "_PICTURES", (1, 2))
    monkeypatch.setattr(growth, "_BATCH_SIDE", 32)


def test_every_table_has_its_sizes(small):
    sizes = {
        table.name: table.sizes
        for table in measure_growth(tuple(growth.TABLES), Setup(1, torch.device("cpu")))
    }
    assert sizes == {
        "picture-size": (60 * 45, 120 * 90),
        "boxes": (10, 40),
        "batch": (1, 2),
    }


def test_the_command_prints_a_table(small, capsys):
    assert main(["bench", "boxes", "--turns", "1"]) == 0
    printed = capsys.readouterr().out
    assert "growth" in printed and "boxes" in printed and "picture-size" not in printed
