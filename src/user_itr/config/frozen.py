"""What all settings have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from user_itr.features.views import named_views

Probability = Annotated[float, Field(ge=0.0, lt=1.0)]

MOST = 65_536
"""Of any width or count inside of the network: far beyond all that fits, and short of overflow."""


def _known(names: tuple[str, ...]) -> tuple[str, ...]:
    named_views(names)
    return names


ViewNames = Annotated[tuple[str, ...], AfterValidator(_known)]
"""Names that `named_views` takes."""


class Frozen(BaseModel):
    """Settings that do not change and refuse unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_true_and_false(cls, value: object, info: ValidationInfo) -> object:
        kind = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and kind is not bool:
            raise ValueError("expected a value, got true/false")
        return value
