"""/api/v1/monitors: questions that are asked on schedule, and who is told when their answers pass a threshold."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from pulka.errors import BadInput
from pulka.model.moments import duration_s
from pulka.monitors.definition import Monitor, Webhook, shown
from pulka.monitors.evaluate import State
from pulka.surfaces.http.problems import RESPONSES
from pulka.surfaces.http.results import stamp
from pulka.surfaces.http.rules_bodies import By, Sql, TableName, Text
from pulka.surfaces.http.saved import Name, Search
from pulka.surfaces.http.services import MonitorsOf, ServicesOf, TenantOf

__all__ = ["router"]

router = APIRouter(tags=["monitors"])

_LISTED: dict[int | str, dict[str, Any]] = {400: RESPONSES[400], 503: RESPONSES[503]}
_Length = Annotated[str, Field(max_length=20, description="Such as 90s, 5m, 1h, 7d")]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class WebhookBody(BaseModel):
    """Where to send, and the secret that signs it; neither is ever shown again."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str, Field(max_length=2000)]
    secret: Annotated[str, Field(max_length=200)] = ""


class MonitorBody(BaseModel):
    """A monitor. Exactly one of `sql`, `search` and `saved`."""

    model_config = ConfigDict(extra="forbid")

    sql: Annotated[Sql | None, Field(description="One SELECT with a column `value`; its window is added")] = None
    search: Annotated[Search | None, Field(description="The value is the number of events it finds")] = None
    saved: Annotated[Name | None, Field(description="The name of a saved query")] = None
    table: TableName = "logs"
    by: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=5, description="Fields whose values make groups")] = []
    value: Annotated[str, Field(max_length=200, description="Of SQL: the column with the number")] = "value"
    window: _Length = "5m"
    every: _Length = "1m"
    delay: Annotated[_Length, Field(description="How long late events are waited for")] = "30s"
    op: Literal[">", ">=", "<", "<="] = ">"
    alert: _Number
    recover: Annotated[_Number | None, Field(description="Where the alert is over; as `alert` where missing")] = None
    times: Annotated[int, Field(ge=1, le=100, description="Windows in a row over the threshold")] = 1
    change: Annotated[Literal["percent", "difference"] | None, Field(description="Compare with an earlier window")] = None
    change_ago: _Length = "1h"
    no_data: Annotated[Literal["keep", "notify", "ok"], Field(description="What a group without a value means")] = "keep"
    repeat: Annotated[_Length, Field(description="How often an alert that stays is told again; 0: never")] = "0"
    message: Text = ""
    webhooks: Annotated[list[WebhookBody], Field(max_length=10)] = []
    emails: Annotated[list[Annotated[str, Field(max_length=320)]], Field(max_length=10)] = []
    created_by: By = ""

    def to_monitor(self, name: str) -> Monitor:
        """The definition."""
        kept: dict[str, Any] = {key: getattr(self, key) for key in ("sql", "search", "saved", "table", "value", "op", "alert", "recover", "times", "change")}
        lengths: dict[str, Any] = {f"{key}_s": duration_s(getattr(self, key)) for key in ("window", "every", "delay", "change_ago", "repeat")}
        hooks = tuple(Webhook(hook.url, hook.secret) for hook in self.webhooks)
        return Monitor(
            name, **kept, **lengths, by=tuple(self.by), no_data=self.no_data, message=self.message, webhooks=hooks, emails=tuple(self.emails),
            created_by=self.created_by,
        )  # fmt: skip


class MuteBody(BaseModel):
    """For how long nothing is sent; 0 ends it."""

    model_config = ConfigDict(extra="forbid")

    length: Annotated[str, Field(alias="for", max_length=20, description="Such as 2h; 0 ends it")]


class TestBody(BaseModel):
    """Whether a test is also sent to those who are told."""

    model_config = ConfigDict(extra="forbid")

    notify: bool = False


@router.get("/api/v1/monitors", responses=_LISTED)
async def list_monitors(monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """The monitors of the tenant and their states."""
    return _json({"monitors": [_summary(*one) for one in await monitors.definitions.monitors(tenant)]})


@router.put("/api/v1/monitors/{name}", responses=RESPONSES)
async def put_monitor(name: str, body: MonitorBody, monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """Make or replace a monitor. Its question is asked once before; its state begins anew when what is evaluated changed."""
    made = await monitors.put(tenant, body.to_monitor(name))
    return _json(_whole(made, (await monitors.definitions.monitor(tenant, made.name))[1]))


@router.get("/api/v1/monitors/{name}", responses=RESPONSES)
async def get_monitor(name: str, monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """One monitor with the states of its groups."""
    return _json(_whole(*await monitors.definitions.monitor(tenant, name)))


@router.delete("/api/v1/monitors/{name}", responses=RESPONSES)
async def remove_monitor(name: str, monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """Delete a monitor and its state; its history stays."""
    return _json({"name": (await monitors.definitions.remove_monitor(tenant, name)).name})


@router.post("/api/v1/monitors/{name}/mute", responses=RESPONSES)
async def mute(name: str, body: MuteBody, services: ServicesOf, monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """Send nothing for a while; what still stands when it is over is sent then."""
    length_s = duration_s(body.length)
    if length_s > 10 * 366 * 86_400:
        raise BadInput("a monitor can be muted for ten years at most", hint="delete it instead")
    until_ns = services.clock.now_ns() + length_s * 1_000_000_000 if length_s else 0
    muted = await monitors.definitions.mute(tenant, name, until_ns)
    return _json({"name": muted.name, "muted_until": stamp(until_ns) if until_ns else None})


@router.post("/api/v1/monitors/{name}/test", responses=RESPONSES)
async def test(name: str, body: TestBody, monitors: MonitorsOf, tenant: TenantOf) -> Response:
    """Evaluate the window that ends now, keeping nothing; on wish send a test to everyone who is told."""
    monitor, _ = await monitors.definitions.monitor(tenant, name)
    tried = await monitors.attempt(tenant, monitor)
    sent = await monitors.notify(tenant, name) if body.notify else 0
    return _json({"name": name, "at": stamp(tried.moment_ns), "groups": _groups(monitor, tried.state), "left_out": tried.state.left_out, "notifications": sent})


def _summary(monitor: Monitor, state: State) -> dict[str, Any]:
    asked = monitor.search if monitor.search is not None else monitor.sql if monitor.sql is not None else f"saved:{monitor.saved}"
    states = [group.state for group in state.groups.values()]
    return {
        "name": monitor.name, "state": _worst(state), "alerts": states.count("alert"), "no_data": states.count("no_data"), "groups": len(states),
        "question": asked, "threshold": f"{monitor.op} {monitor.alert:g}", "every_s": monitor.every_s, "window_s": monitor.window_s,
        "evaluated_at": stamp(state.upto_ns) if state.upto_ns else None, "muted_until": stamp(monitor.muted_until_ns) if monitor.muted_until_ns else None,
    }  # fmt: skip


def _worst(state: State) -> str:
    states = {group.state for group in state.groups.values()}
    if state.error:
        return "failing"
    return next((one for one in ("alert", "no_data") if one in states), "ok" if state.upto_ns else "new")


def _whole(monitor: Monitor, state: State) -> dict[str, Any]:
    """Everything but what is secret."""
    seen = shown(monitor)
    members = ("name", "id", "sql", "search", "saved", "table", "by", "value", "window_s", "every_s", "delay_s", "op", "alert")
    more = ("times", "change", "change_ago_s", "no_data", "repeat_s", "message", "webhooks", "emails", "created_by")
    return {
        **{key: getattr(seen, key) for key in members}, "recover": monitor.recovers_at, **{key: getattr(seen, key) for key in more},
        "created_at": stamp(monitor.created_ns), "muted_until": stamp(monitor.muted_until_ns) if monitor.muted_until_ns else None, "state": _worst(state),
        "evaluated_at": stamp(state.upto_ns) if state.upto_ns else None, "error": state.error, "left_out": state.left_out, "groups": _groups(monitor, state),
    }  # fmt: skip


def _groups(monitor: Monitor, state: State) -> list[dict[str, Any]]:
    return [
        {"group": dict(zip(monitor.by, msgspec.json.decode(key), strict=False)), "state": group.state, "value": group.value, "since": stamp(group.since_ns)}
        for key, group in sorted(state.groups.items())
    ]


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
