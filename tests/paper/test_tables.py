"""The tables have the paper's numbers, and each of their trainings is a recipe that can work."""

from __future__ import annotations

import pytest

from fastrcnn.paper.tables import FIGURE_2, TABLES
from fastrcnn.training import RECIPES

# Tables 1, 4, 5, 6, 7 and 8 of Girshick (2015), by network, from the top row down.
PUBLISHED = {
    ("1", "L"): (66.0, 63.1, 66.9, 68.1, 70.0),
    ("4", "S"): (57.1, 56.5),
    ("4", "M"): (59.2, 58.7),
    ("4", "L"): (66.9, 66.6),
    ("5", "L"): (61.4, 66.9, 67.2),
    ("6", "S"): (52.2, 53.3, 54.6, 57.1),
    ("6", "M"): (54.7, 55.5, 56.6, 59.2),
    ("6", "L"): (62.6, 63.4, 64.0, 66.9),
    ("7", "S"): (57.1, 58.4),
    ("7", "M"): (59.2, 60.7),
    ("7", "L"): (66.9, None),
    ("8", "S"): (56.3, 57.1),
    ("8", "M"): (58.7, 59.2),
    ("8", "L"): (66.8, 66.9),
}


@pytest.mark.parametrize(("name", "network"), PUBLISHED)
def test_the_published_numbers_are_the_papers(name, network):
    table = TABLES[name](network, RECIPES["paper"])
    assert tuple(row.published for row in table.rows) == PUBLISHED[name, network]


@pytest.mark.parametrize("recipe", ["paper", "paper_s", "paper_m", "shapes", "laptop"])
@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_a_name_and_a_recipe_of_its_own(name, recipe):
    rows = TABLES[name]("L", RECIPES[recipe]).rows
    assert len({row.name for row in rows}) == len(rows)
    trainings = {row.training.name: row.training for row in rows if row.training is not None}
    made = [RECIPES[recipe].but(**training.changes) for training in trainings.values()]
    assert len(made) == len(trainings)
    for row in rows:
        assert row.training is None or trainings[row.training.name] == row.training


def test_table_5_and_7_are_the_papers_for_its_own_network():
    five = TABLES["5"]("L", RECIPES["paper"]).rows
    assert [row.training.changes["first_trainable"] for row in five] == [
        "fc6",
        "conv3_1",
        "conv2_1",
    ]
    _, scales = TABLES["7"]("L", RECIPES["paper"]).rows
    assert scales.training.changes == {"pyramid": (480, 576, 688, 864, 1200), "longer": 2000}


def test_the_stages_of_figure_2_add_up_to_the_papers_times():
    whole, with_svd = (sum(column) for column in zip(*FIGURE_2.values(), strict=True))
    # 320 and 223 ms; the paper rounds each stage.
    assert abs(whole - 320) <= 5 and abs(with_svd - 223) <= 10
