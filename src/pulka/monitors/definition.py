"""What a monitor is: the question, when it is asked, what counts as an alert, and who is told."""

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from pulka.errors import BadInput

__all__ = ["Limits", "Monitor", "SavedQuery", "Webhook", "check_name", "checked", "shown"]

Op = Literal[">", ">=", "<", "<="]
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_ADDRESS = re.compile(r"[^@\s<>,;\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,255}")
_SECRET_CHARS_MIN = 16
TARGETS_MAX = 10


class SavedQuery(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question under a name: SQL, or a search of a table."""

    name: str
    sql: str | None = None
    search: str | None = None
    table: str = "logs"
    description: str = ""
    created_ns: int = 0
    created_by: str = ""


class Webhook(msgspec.Struct, frozen=True, omit_defaults=True):
    """An HTTP receiver; with a secret its messages are signed."""

    url: str
    secret: str = ""


class Monitor(msgspec.Struct, frozen=True, omit_defaults=True):
    """A monitor. A moment is the end of a window of `window_s`; moments are `every_s` apart, and `delay_s` are waited for late events.

    Value: the count of what a search finds, or the column `value` of a SQL query; one per group of the columns `by`.
    `change`: instead, how that differs from the window `change_ago_s` earlier, in percent or as a difference.
    Alert after `times` windows in a row with `value op alert`; over once `value op recover` is false.
    `id` is new with every change that concerns the evaluation: its state then begins anew.
    """

    name: str
    id: str = ""
    sql: str | None = None
    search: str | None = None
    saved: str | None = None
    table: str = "logs"
    by: tuple[str, ...] = ()
    value: str = "value"
    window_s: int = 300
    every_s: int = 60
    delay_s: int = 30
    op: Op = ">"
    alert: float = 0.0
    recover: float | None = None
    times: int = 1
    change: Literal["percent", "difference"] | None = None
    change_ago_s: int = 3600
    no_data: Literal["keep", "notify", "ok"] = "keep"
    repeat_s: int = 0
    message: str = ""
    webhooks: tuple[Webhook, ...] = ()
    emails: tuple[str, ...] = ()
    muted_until_ns: int = 0
    created_ns: int = 0
    created_by: str = ""

    @property
    def recovers_at(self) -> float:
        """Where an alert is over."""
        return self.alert if self.recover is None else self.recover

    @property
    def evaluated(self) -> tuple[object, ...]:
        """All that evaluations depend on."""
        return (
            self.sql, self.search, self.saved, self.table, self.by, self.value, self.window_s, self.every_s, self.op, self.alert, self.recover,
            self.times, self.change, self.change_ago_s, self.no_data,
        )  # fmt: skip

    def holds(self, value: float, bound: float) -> bool:
        """Whether `value op bound`."""
        match self.op:
            case ">":
                return value > bound
            case ">=":
                return value >= bound
            case "<":
                return value < bound
            case "<=":
                return value <= bound


class Limits(msgspec.Struct, frozen=True):
    """Bounds of definitions."""

    every_s_min: int = 1
    groups_max: int = 100
    monitors_max: int = 200


def check_name(name: str) -> str:
    """Return `name`, or raise BadInput when a monitor or saved query cannot be called that."""
    if not _NAME.fullmatch(name):
        raise BadInput("this cannot be a name", hint="use 1 to 63 of a-z, 0-9, _, . and -, beginning with a letter or digit")
    return name


def checked(monitor: Monitor, limits: Limits) -> Monitor:
    """The monitor, or BadInput that says what is wrong with it."""
    check_name(monitor.name)
    for wrong, message, hint in _problems(monitor, limits):
        if wrong:
            raise BadInput(message, hint=hint)
    return monitor


def _problems(one: Monitor, limits: Limits) -> list[tuple[bool, str, str]]:
    asked = [text for text in (one.sql, one.search, one.saved) if text is not None]
    rising = one.op in (">", ">=")
    return [
        (len(asked) != 1, "a monitor asks one of `sql`, `search` and `saved`", "give exactly one of them"),
        (one.every_s < limits.every_s_min, f"it would be evaluated more often than every {limits.every_s_min} s", "raise every_s"),
        (one.window_s < 1 or one.delay_s < 0 or one.repeat_s < 0, "a length of time is negative or zero", "windows have at least one second"),
        (max(one.window_s, one.every_s, one.delay_s, one.change_ago_s, one.repeat_s) > 90 * 86_400, "a length of time is over 90 days", "shorten it"),
        (one.change_ago_s < 1, "`change_ago_s` compares with an earlier window", "as in 3600"),
        (not 1 <= one.times <= 100, "`times` is 1 to 100", "how many windows in a row must be over the threshold"),
        (
            (one.recovers_at > one.alert) if rising else (one.recovers_at < one.alert),
            f"`recover` must be {'at most' if rising else 'at least'} `alert`", "an alert is over when the value is back beyond `recover`",
        ),
        (len(one.by) > 5 or len(set(one.by)) != len(one.by), "`by` names 1 to 5 different fields", "groups are combinations of their values"),
        (len(one.webhooks) + len(one.emails) > TARGETS_MAX, f"at most {TARGETS_MAX} are told", "send to a list or a relay"),
        *(_webhook_problem(hook) for hook in one.webhooks),
        *((not _ADDRESS.fullmatch(mail), "an e-mail address cannot be read", "as in team@example.com") for mail in one.emails),
    ]  # fmt: skip


def _webhook_problem(hook: Webhook) -> tuple[bool, str, str]:
    try:
        parts = urlsplit(hook.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username and not parts.password and parts.port != 0
    except ValueError:
        good = False
    if not good:
        return True, "a webhook's URL cannot be used", "as in https://example.com/hook, without user and password"
    short = 0 < len(hook.secret) < _SECRET_CHARS_MIN
    return short, f"a webhook's secret has at least {_SECRET_CHARS_MIN} characters", "make one with `openssl rand -base64 32`"


def shown(monitor: Monitor) -> Monitor:
    """The monitor as anybody may see it: no secrets, and of URLs, whose paths often are some, the host only."""
    return msgspec.structs.replace(monitor, webhooks=tuple(_masked(hook) for hook in monitor.webhooks))


def _masked(hook: Webhook) -> Webhook:
    parts = urlsplit(hook.url)
    path = "/…" if parts.path.strip("/") or parts.query else "/"
    return Webhook(f"{parts.scheme}://{parts.netloc}{path}", "…" if hook.secret else "")
