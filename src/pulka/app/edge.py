"""Wires the agent of this host: in a process of its own, beside the lake."""

import os
import sys

from pulka.app.lake import Lake
from pulka.config import Settings
from pulka.edge.hindrance import hindrance
from pulka.edge.supervisor import OFF, WATCHING, Supervisor
from pulka.errors import Misconfigured

__all__ = ["open_edge", "why_no_edge"]


def why_no_edge(settings: Settings) -> str:
    """Empty when the agent of this host is to run. Misconfigured when it must and may not."""
    wanted = settings["edge_enabled"]
    if wanted not in ("auto", "on", "off"):
        raise Misconfigured(f"`edge_enabled` is `{wanted}`", hint="set it to auto, on or off")
    why = "edge_enabled is off" if wanted == "off" else hindrance()
    if why and wanted == "on":
        raise Misconfigured(f"edge_enabled is `on`, and the agent cannot start: {why}", hint="`pulka edge doctor` says more; `auto` starts it only where it may")
    return why


def open_edge(lake: Lake, url: str, why_not: str) -> Supervisor:
    """The agent, in a process of its own that sends to this lake; one that was not started when there is a reason."""
    settings = {one.parameter.env: str(one.value) for one in lake.settings if one.parameter.name.startswith(("edge_", "log_"))}
    own = {"PULKA_EDGE_OTLP_URL": _reachable(url), "PULKA_STATE_DIR": str(lake.settings.state_dir)}
    command = [sys.executable, "-m", "pulka", "edge", "run", "--managed"]
    edge = Supervisor(command, {**os.environ, **settings, **own}, lake.services.clock)
    lake.services.beside["edge"] = (lambda: {"state": OFF, "reason": why_not}) if why_not else (lambda: edge.told)
    lake.services.metrics.gauge("pulka_edge_watching", "1 while the agent watches this host", lambda: float(edge.told["state"] == WATCHING))
    lake.services.metrics.gauge("pulka_edge_restarts", "Times the agent was started again", lambda: edge.restarts)
    if not why_not:
        edge.start()
    return edge


def _reachable(url: str) -> str:
    """An address to connect to: what listens on all of them listens on this machine's own."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
