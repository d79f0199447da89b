"""POST /api/v1/ingest/{table}: NDJSON, a JSON array, or CSV."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from pulka.errors import BadInput
from pulka.intake import IngestOptions, Outcome
from pulka.surfaces.http.body import content_type, encoding_of, read_body
from pulka.surfaces.http.problems import RESPONSES, problem
from pulka.surfaces.http.services import ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["ingest"])

_TEXT = {"schema": {"type": "string"}}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Events; Content-Encoding may be gzip, zstd or deflate",
        "content": {
            "application/x-ndjson": _TEXT,
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "text/csv": _TEXT,
        },
    }
}
_COUNTS = {"type": "object", "additionalProperties": {"type": "integer"}}
_OUTCOME: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Durable: every item is a stored row or counted as rejected",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["rows", "rejected"],
                    "properties": {
                        "rows": {"type": "integer"},
                        "rejected": {"type": "integer"},
                        "reasons": _COUNTS,
                        "samples": {"type": "array", "items": {"type": "object"}},
                        "warnings": _COUNTS,
                    },
                }
            }
        },
    }
}


@router.post("/api/v1/ingest/{table}", openapi_extra=_BODY, responses=_OUTCOME | RESPONSES, response_class=Response)
async def ingest(
    request: Request,
    table: str,
    services: ServicesOf,
    tenant: TenantOf,
    timestamp_field: Annotated[
        list[str] | None, Query(description="Fields that may hold the time, best first; repeat or separate by commas")
    ] = None,
    rename: Annotated[list[str] | None, Query(description="`from=to`, repeatable")] = None,
    field: Annotated[
        list[str] | None, Query(description="`path=value` for events without the path, repeatable")
    ] = None,
    json_field: Annotated[list[str] | None, Query(description="Fields whose text is a JSON object, repeatable")] = None,
    idempotency_key: Annotated[
        str | None,
        Header(description="A retry under the same key stores nothing and is answered as the first attempt was"),
    ] = None,
) -> Response:
    """Store events. Acknowledged when durable; visible to queries within a second."""
    options = IngestOptions(
        timestamp_fields=tuple(name for item in timestamp_field or () for name in item.split(",") if name),
        rename=_pairs("rename", rename),
        constants=_pairs("field", field),
        json_fields=tuple(json_field or ()),
    )
    take = services.intake.csv if content_type(request) == "text/csv" else services.intake.json
    body = await read_body(request, services.intake)
    outcome = await take(tenant, table, body, encoding_of(request), idempotency_key, options)
    return _answer(outcome)


def _pairs(parameter: str, items: list[str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(_pair(parameter, item) for item in items or ())


def _pair(parameter: str, item: str) -> tuple[str, str]:
    left, equals, right = item.partition("=")
    if not (left and equals and right):
        raise BadInput(f"`{parameter}` needs the form NAME=VALUE", hint=f"for example {parameter}=a=b")
    return left, right


def _answer(outcome: Outcome) -> Response:
    """The acknowledgement; a body of which nothing could be kept is the sender's mistake."""
    if outcome.rejected and not outcome.rows:
        error = BadInput("no event of the body could be taken", hint="see reasons and samples")
        return problem(error, rejected=outcome.rejected, reasons=outcome.reasons, samples=outcome.samples)
    headers = {"Idempotent-Replayed": "true"} if outcome.duplicate else {}
    return Response(outcome.ack(), 200, headers, "application/json")
