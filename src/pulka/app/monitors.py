"""Wires monitors: what asks, what tells, and where their history goes."""


from pulka.config import Settings
from pulka.errors import BadInput
from pulka.intake.ingest import Intake
from pulka.model.ids import new_id
from pulka.monitors.ask import Asker
from pulka.monitors.definition import Limits as MonitorLimits
from pulka.monitors.definitions import Definitions
from pulka.monitors.lease import Lease
from pulka.monitors.mail import Mail
from pulka.monitors.outbox import Outbox, Send
from pulka.monitors.runner import Runner
from pulka.monitors.service import Monitors, history_into
from pulka.monitors.webhook import Webhooks
from pulka.seams import Clock, Engine
from pulka.store.catalog import SqlCatalog
from pulka.store.writer import Writer

__all__ = ["open_monitors"]


def open_monitors(settings: Settings, catalog: SqlCatalog, engine: Engine, writer: Writer, intake: Intake, clock: Clock) -> Monitors:
    """Not started yet."""
    limits = MonitorLimits(settings["monitor_interval_min_s"], settings["monitor_groups_max"], settings["monitors_max"])
    webhooks = Webhooks(clock, settings["notify_timeout_s"])
    senders: dict[str, Send] = {"history": history_into(intake), "webhook": webhooks.send, "email": _no_mail}
    if settings["smtp_url"]:
        senders["email"] = Mail(settings["smtp_url"], settings["smtp_from"], settings["notify_timeout_s"]).send
    definitions = Definitions(catalog, clock, limits, has_mail=bool(settings["smtp_url"]))
    asker = Asker(engine, catalog, writer, definitions)
    outbox = Outbox(catalog, clock, senders, settings["notify_retry_s"])
    lease = Lease(catalog, clock, new_id(clock.now_ns(), clock.random), settings["monitor_lease_s"])
    runner = Runner(catalog, asker, outbox, lease, clock, groups_max=limits.groups_max)
    return Monitors(definitions, asker, runner, outbox, catalog, clock, [webhooks.close])


async def _no_mail(tenant: str, entry: object) -> None:
    raise BadInput("this server sends no e-mail: smtp_url is not set")
