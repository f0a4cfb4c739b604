"""What a comparison's child and the web process say to each other: JSON, so that a child cannot say anything else."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from service.problems import Problem

Side = Literal["old", "new"]


class Wanted(BaseModel):
    """The child needs the report of an analysis; it is sent its bytes."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["wanted"] = "wanted"
    side: Side
    job_id: str


class Compared(BaseModel):
    """The comparison follows, in its published form."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["compared"] = "compared"
    regression: bool
    verdict: str
    """Of the new report."""


class Refused(BaseModel):
    """There is none."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["refused"] = "refused"
    problem: Problem


SAID: TypeAdapter[Wanted | Compared | Refused] = TypeAdapter(
    Annotated[Wanted | Compared | Refused, Field(discriminator="kind")]
)
