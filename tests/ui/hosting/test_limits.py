import math

import pytest

from fastrcnn.errors import FastRCNNError, RecipeError
from fastrcnn.ui.hosting.limits import Limits
from tests.ui.conftest import assert_is_one_sentence

NAMES = list(Limits.model_fields)


def test_without_variables_the_limits_are_the_usual_ones():
    assert Limits.from_environment({}) == Limits()
    others = {
        "HOME": "/",
        "FASTRCNN_CACHE": "/a",
        "FASTRCNN_CHECKPOINT": "b",
        "MY_FASTRCNN_QUEUE": "1",
    }
    assert Limits.from_environment(others) == Limits()


@pytest.mark.parametrize("name", NAMES)
def test_each_limit_has_its_variable(name):
    limits = Limits.from_environment({f"FASTRCNN_{name.upper()}": "7"})
    assert limits == Limits(**{name: 7})


@pytest.mark.parametrize("text", ["", "many", "0", "-1", "nan", "inf", "1e999", "1_0x", "٣½"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_limit_is_refused_by_its_variable(name, text):
    with pytest.raises(
        FastRCNNError, match=f"^FASTRCNN_{name.upper()} is .*; it must be "
    ) as error:
        Limits.from_environment({f"FASTRCNN_{name.upper()}": text})
    assert_is_one_sentence(str(error.value))


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "5", None])
@pytest.mark.parametrize("name", NAMES)
def test_limits_are_checked_when_they_are_made(name, value):
    with pytest.raises(RecipeError, match=f"^{name} is .*; it must be "):
        Limits(**{name: value})


def test_what_is_counted_is_a_whole_number():
    for name in ("pixels", "queue", "analyses", "experiments", "trainings", "pictures"):
        with pytest.raises(RecipeError, match="valid integer"):
            Limits(**{name: 1.5})
        with pytest.raises(FastRCNNError, match="valid integer"):
            Limits.from_environment({f"FASTRCNN_{name.upper()}": "1.5"})
    assert Limits.from_environment({"FASTRCNN_UPLOAD_MB": "0.5"}).upload_mb == 0.5


def test_no_picture_may_be_larger_than_pillow_reads():
    with pytest.raises(RecipeError, match="less than or equal to 178956970") as error:
        Limits(pixels=178_956_971)
    assert_is_one_sentence(str(error.value))
    assert Limits(pixels=178_956_970).pixels == 178_956_970


@pytest.mark.parametrize("variable", ["FASTRCNN_QUEU", "FASTRCNN_queue", "FASTRCNN_", "FASTRCNN_X"])
def test_a_slip_in_a_name_does_not_go_unseen(variable):
    with pytest.raises(FastRCNNError, match=f"^Nothing reads {variable}; write FASTRCNN_") as error:
        Limits.from_environment({variable: "5"})
    assert_is_one_sentence(str(error.value))
