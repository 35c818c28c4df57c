import inspect
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from fastrcnn.errors import RecipeError
from fastrcnn.runtime.settings import Settings


class Inner(Settings):
    side: Annotated[int, Field(ge=16, le=4096)] = 600
    """Pixels."""


class Outer(Settings):
    inner: Inner = Field(default_factory=Inner)
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    steps: tuple[int, ...] = ()
    kind: Literal["a", "b"] = "a"
    least: int | None = None

    @model_validator(mode="after")
    def _check(self) -> "Outer":
        if self.least is not None and self.least > 5:
            raise ValueError("least must be at most 5, since there are five.")
        return self


def test_values_are_those_given_and_the_defaults():
    outer = Outer(scale=3, steps=[1, 2], inner={"side": 20})
    assert outer == Outer(scale=3.0, steps=(1, 2), inner=Inner(side=20))
    assert outer.kind == "a" and outer.least is None
    assert Inner.model_fields["side"].description == "Pixels."


def test_help_shows_each_field_with_its_description():
    assert inspect.getdoc(Inner).endswith("side: Pixels.")


def test_settings_can_be_hashed_and_not_changed():
    assert hash(Outer()) == hash(Outer())
    with pytest.raises(Exception, match="frozen"):
        Outer().kind = "b"


def test_changes_are_checked():
    assert Outer(scale=2.0).but(kind="b") == Outer(scale=2.0, kind="b")
    with pytest.raises(RecipeError, match="kind is 'c'; it must be 'a' or 'b'"):
        Outer().but(kind="c")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"side": 20}, "Unknown setting 'side'; there are inner, scale, steps, kind, least."),
        ({"inner": {"side": 3}}, "side is 3; it must be greater than or equal to 16."),
        ({"scale": "2"}, "scale is '2'; it must be a valid number."),
        ({"scale": True}, "scale is True; it must be a valid number."),
        ({"scale": float("nan")}, "scale is nan; it must be a finite number."),
        ({"steps": (1, "x")}, "steps.1 is 'x'; it must be a valid integer."),
        ({"least": 2.5}, "least is 2.5; it must be a valid integer."),
        ({"least": 6}, "least must be at most 5, since there are five."),
    ],
)
def test_what_cannot_work_is_one_sentence(values, sentence):
    with pytest.raises(RecipeError) as caught:
        Outer(**values)
    assert str(caught.value) == sentence


def test_a_missing_value_is_named():
    class Needed(Settings):
        name: str

    with pytest.raises(RecipeError, match=r"^name is missing\.$"):
        Needed()
