"""Where photos were taken, for a map."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from user_itr.search.filters import Area
from user_itr.search.index import ImageIndex
from user_itr.server.routes import PROBLEMS
from user_itr.server.schemas import FilterFields


class PlaceFields(FilterFields):
    """Limits on the photos, and how near to each other those of one place are."""

    step: float = Field(5, ge=1e-5, le=180, description="Degrees from one cell to the next.")
    limit: int = Field(300, ge=1, le=1_000)


class Place(BaseModel):
    """Photos taken near to each other: `area` holds all of them, `photo` is the id of one."""

    photos: int
    latitude: float
    longitude: float
    area: str
    photo: str


class Places(BaseModel):
    """Cells of a grid that have photos, the one with the most first."""

    places: list[Place]


def place_routes(index: ImageIndex) -> APIRouter:
    """Photos by where they were taken."""
    router = APIRouter(prefix="/api", tags=["search"], responses=PROBLEMS)

    @router.get("/places")
    async def places(asked: Annotated[PlaceFields, Query()]) -> Places:
        """How many photos were taken where; those that do not say so are not counted."""
        filters = asked.filters()
        found = await run_in_threadpool(
            index.ask, lambda store: store.clusters(asked.step, asked.limit, filters)
        )
        return Places(
            places=[
                Place(
                    photos=one.files,
                    latitude=one.latitude,
                    longitude=one.longitude,
                    area=_text_of(one.area),
                    photo=one.id,
                )
                for one in found
            ]
        )

    return router


def _text_of(area: Area) -> str:
    """An area as a request gives it, at most 11 cm larger to each side."""
    away = (ROUND_FLOOR, ROUND_FLOOR, ROUND_CEILING, ROUND_CEILING)
    sides = zip(area, away, strict=True)
    return ",".join(str(Decimal(side).quantize(Decimal("1e-6"), how)) for side, how in sides)
