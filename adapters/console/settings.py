"""What can be configured about the terminal."""

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Settings of the terminal chat; `NO_COLOR` and `TERM=dumb` are honoured besides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    markdown: bool = Field(
        default=True, description="Render Markdown where the output is a terminal."
    )
