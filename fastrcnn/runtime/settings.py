"""The base of all settings: declared once, typed, described field by field, checked by pydantic."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fastrcnn.errors import RecipeError, shown

Self = TypeVar("Self", bound="Settings")


class Settings(BaseModel):
    """Frozen values, checked when built; the string below a field is its description.

    A float may be given as a whole number, and a tuple as a list, since JSON has no tuples. Nothing
    else is converted. Raises RecipeError, with one sentence, for an unknown name, a value of
    another type, or a value that cannot work.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise RecipeError(_sentence(type(self), error)) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        # So that help() shows the fields' descriptions too.
        super().__pydantic_init_subclass__(**options)
        fields = [
            f"{name}: {' '.join(str(field.description).split())}"
            for name, field in cls.model_fields.items()
        ]
        cls.__doc__ = "\n\n".join([str(cls.__doc__).rstrip(), *fields])

    @model_validator(mode="before")
    @classmethod
    def _tuples(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

    def but(self: Self, **changes: Any) -> Self:
        """The same settings with these changes, checked anew."""
        return type(self)(**(dict(self) | changes))


def _sentence(settings: type[Settings], error: ValidationError) -> str:
    """Describes the first error in one sentence: the field, and what value would work."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"Unknown setting {name!r}; there are {', '.join(settings.model_fields)}."
    if first["type"] == "missing":
        return f"{name} is missing."
    # A check of the project's own raises ValueError with a whole sentence.
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    wanted = first["msg"].removeprefix("Input should be ")
    return f"{name} is {shown(first['input'])}; it must be {wanted}."
