from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastrcnn.data import Annotation, Dataset, join, open_dataset
from fastrcnn.errors import DataError


def dataset(name: str, classes: tuple[str, ...], *labels: list[int]) -> Dataset:
    annotations = []
    for number, own in enumerate(labels, start=1):
        boxes = np.tile(np.array([[0, 0, 5, 5]], np.float32), (len(own), 1))
        difficult = np.zeros(len(own), bool)
        path = Path(name) / f"{number}.jpg"
        annotations.append(
            Annotation(str(number), path, 10, 10, boxes, np.array(own, np.int64), difficult)
        )
    return Dataset(name, classes, tuple(annotations))


SEVEN = dataset("07", ("cat", "dog", "cow"), [1], [2, 3])
TWELVE = dataset("12", ("dog", "cow", "cat"), [1, 2, 3], [], [1])


def test_a_name_that_no_folder_can_have_is_told_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"^[^\n]*xxx[^\n]*\.$"):
        open_dataset(tmp_path / ("x" * 300), "train")


def test_one_class_list_and_names_told_apart():
    joined = join([SEVEN, TWELVE])
    assert joined.classes == SEVEN.classes
    assert [a.image_id for a in joined] == ["07/1", "07/2", "12/1", "12/2", "12/3"]
    assert [a.part for a in joined] == [0, 0, 1, 1, 1]
    assert [a.labels.tolist() for a in joined] == [[1], [2, 3], [2, 3, 1], [], [2]]
    names = [joined.classes[label - 1] for a in joined for label in a.labels]
    first = [SEVEN.classes[label - 1] for a in SEVEN for label in a.labels]
    assert names == first + [TWELVE.classes[label - 1] for a in TWELVE for label in a.labels]
    assert joined[3].path == Path("12/2.jpg")
    assert [a.part for a in joined[2:]] == [1, 1, 1]


def test_sets_of_one_name_are_told_apart_by_number():
    joined = join([SEVEN, replace(TWELVE, name="07"), SEVEN])
    assert [a.image_id for a in joined[::2]] == ["1/1", "2/1", "2/3", "3/2"]


def test_one_set_stays_as_it_is():
    assert join([SEVEN]) is SEVEN


def test_sets_of_other_classes_are_refused():
    other = dataset("birds", ("cat", "dog", "cow", "bird"), [4])
    for sets in ([SEVEN, other], [other, SEVEN]):
        with pytest.raises(DataError, match=r"cannot be joined: .* the class 'bird'\.$"):
            join(sets)
