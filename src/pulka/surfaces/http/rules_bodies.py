"""What the bodies of deletes, policies and holds have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["By", "RangeBody", "Sql", "TableName", "Text"]

_NO_NUL = r"^[^\x00]*$"
TableName = Annotated[str, Field(min_length=1, max_length=63, pattern=_NO_NUL)]
Sql = Annotated[str, Field(min_length=1, max_length=1 << 16, pattern=_NO_NUL, description="A boolean SQL expression over the table's fields")]
By = Annotated[str, Field(max_length=200, pattern=_NO_NUL, description="Who asks, for the record")]
Text = Annotated[str, Field(max_length=1000, pattern=_NO_NUL)]
_Moment = "RFC 3339, `now`, or a distance back from now such as 15m, 1h, 7d"


class RangeBody(BaseModel):
    """A range of event times, `from` inclusive, `to` exclusive; a missing side is open."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[str | None, Field(alias="from", description=_Moment)] = None
    end: Annotated[str | None, Field(alias="to", description=_Moment)] = None
