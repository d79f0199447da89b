"""The schedule on a fake clock: each moment once whoever runs, nothing told is lost, and no secret leaks."""

import asyncio
import json
import logging
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from pulka.errors import BadInput, BadQuery, Conflict, NotFound, Temporary
from pulka.monitors.ask import Asker
from pulka.monitors.definition import Limits, Monitor, SavedQuery, Webhook
from pulka.monitors.definitions import Definitions
from pulka.monitors.lease import Lease
from pulka.monitors.outbox import OUTBOX, Outbox
from pulka.monitors.runner import Runner
from pulka.monitors.service import Monitors
from pulka.monitors.telling import Entry
from pulka.seams import Edit, QueryStats, Result
from pulka.testing.catalog import MemoryCatalog, MemoryFresh
from pulka.testing.clock import FakeClock
from pulka.testing.documents import MemoryDocuments

S = 1_000_000_000
MINUTE = 60


class ScriptedEngine:
    """Answers by the end of the window, in seconds since the clock's start."""

    def __init__(self, start_ns: int) -> None:
        self.start_ns, self.asked = start_ns, []
        self.answers: dict[int, Any] = {}
        self.otherwise: Any = {"value": [0.0]}

    async def run(self, sql: str, tenant: str, window: Any, limits: Any, query_id: str = "") -> Result:
        at = (window.end_ns - self.start_ns) // S
        self.asked.append((sql, tenant, at, (window.end_ns - window.start_ns) // S))
        answer = self.answers.get(at, self.otherwise)
        if isinstance(answer, Exception):
            raise answer
        table = pa.table(answer)

        async def batches() -> Any:
            for batch in table.to_batches():
                yield batch

        return Result(table.schema, batches(), QueryStats())


class World:
    """One catalog, and processes that share it."""

    def __init__(self) -> None:
        self.documents, self.clock = MemoryDocuments(), FakeClock(start_ns=1_700_000_040 * S)  # a whole minute
        self.engine = ScriptedEngine(self.clock.now_ns())
        self.sent: list[tuple[str, Entry]] = []
        self.refuse: dict[str, Exception] = {}

    def process(self, owner: str = "a", *, groups_max: int = 10, retry_s: float = 3600) -> Monitors:
        definitions = Definitions(self.documents, self.clock, Limits(1, groups_max, 3), has_mail=True)
        asker = Asker(self.engine, MemoryCatalog(), MemoryFresh(), definitions)

        async def send(tenant: str, entry: Entry) -> None:
            if error := self.refuse.get(entry.to):
                raise error
            self.sent.append((owner, entry))

        outbox = Outbox(self.documents, self.clock, dict.fromkeys(("history", "webhook", "email"), send), retry_s)
        lease = Lease(self.documents, self.clock, owner, 15)
        runner = Runner(self.documents, asker, outbox, lease, self.clock, groups_max=groups_max)
        return Monitors(definitions, asker, runner, outbox, self.documents, self.clock)

    def told(self, to: str) -> list[Any]:
        return [json.loads(entry.body) if to != "email" else entry.body for _, entry in self.sent if entry.to == to]

    async def pass_s(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            await self.clock.advance(1)


@pytest.fixture
def world() -> World:
    return World()


def errors(**given: Any) -> Monitor:
    return Monitor("errors", **{"search": "level:error", "alert": 5.0, "delay_s": 30, "webhooks": (Webhook("http://hook/secret", "k" * 20),), **given})


async def test_an_alert_and_its_end(world: World) -> None:
    one = world.process()
    await one.put("acme", errors())
    assert "severity" in world.engine.asked[0][0]
    world.engine.asked.clear()
    world.engine.answers = {60: {"value": [9.0]}, 120: {"value": [6.0]}, 180: {"value": [4.0]}}
    one.runner.start()
    await world.pass_s(300)
    await one.close()
    assert [at for _, _, at, _ in world.engine.asked] == [-60, 0, 60, 120, 180, 240]
    assert {length for *_, length in world.engine.asked} == {300}
    states = [change["state"] for told in world.told("webhook") for change in told["changes"]]
    assert states == ["alert", "ok"]
    history = world.told("history")
    assert [(row["monitor"], row["state"], row["value"], row["told"]) for row in history] == [("errors", "alert", 9, True), ("errors", "ok", 4, True)]
    first = world.told("webhook")[0]
    assert (first["monitor"], first["tenant"], first["alert"], first["at"]) == ("errors", "acme", 5, "2023-11-14T22:15:00Z")
    assert not await world.documents.documents(OUTBOX)


async def test_late_events_are_waited_for(world: World) -> None:
    one = world.process()
    await one.put("acme", errors(delay_s=50))
    world.engine.asked.clear()
    one.runner.start()
    await world.pass_s(109)
    assert 60 not in [at for _, _, at, _ in world.engine.asked]
    await world.pass_s(3)
    assert world.engine.asked[-1][2] == 60
    await one.close()


async def test_of_two_processes_one_evaluates_and_the_other_takes_over(world: World) -> None:
    one, two = world.process("a"), world.process("b")
    await one.put("acme", errors())
    world.engine.asked.clear()
    one.runner.start()
    two.runner.start()
    await world.pass_s(130)
    moments = [at for _, _, at, _ in world.engine.asked]
    assert len(moments) == len(set(moments)) == 3
    first, second = (one, two) if one.runner.counts.evaluations else (two, one)
    assert second.runner.counts.evaluations == 0
    for task in first.runner._tasks:
        task.cancel()  # as if killed: nothing is released
    world.engine.answers = {180: {"value": [9.0]}}
    await world.pass_s(120)
    assert second.runner.counts.evaluations >= 2
    assert len(world.told("webhook")) == 1
    await second.close()


async def test_racing_evaluations_are_committed_once(world: World) -> None:
    """Without a lease between them: the catalog decides, and only what is committed is told."""
    world.engine.otherwise = {"value": [9.0]}
    several = [world.process(str(n)) for n in range(4)]
    await several[0].put("acme", errors())
    for _ in range(5):
        await world.clock.advance(60)
        await asyncio.gather(*(one.runner.evaluate_due() for one in several))
    assert len(await world.documents.documents(OUTBOX)) == 2  # the webhook and its row of history
    assert sum(one.runner.counts.conflicts for one in several) > 0


async def test_a_process_that_dies_before_it_has_sent_sends_later(world: World) -> None:
    world.engine.otherwise = {"value": [9.0]}
    one = world.process()
    await one.put("acme", errors())
    await one.runner.evaluate_due()  # and dies
    two = world.process("b")
    two.runner.start()
    await world.pass_s(3)
    assert [told["changes"][0]["state"] for told in world.told("webhook")] == ["alert"]
    await two.close()


async def test_a_process_that_dies_after_it_has_sent_sends_again_under_the_same_id(world: World) -> None:
    world.engine.otherwise = {"value": [9.0]}
    one = world.process()
    await one.put("acme", errors())
    await one.runner.evaluate_due()
    kept = list(await world.documents.documents(OUTBOX))
    await one.outbox.turn()
    await world.documents.edit([Edit(each.kind, each.tenant, each.name, 0, each.body) for each in kept])  # it died before it could say so
    await world.process("b").outbox.turn()
    ids = [entry.id for _, entry in world.sent if entry.to == "webhook"]
    assert len(ids) == 2
    assert len(set(ids)) == 1


async def test_a_receiver_that_is_down_is_tried_with_growing_pauses(world: World) -> None:
    world.engine.otherwise = {"value": [9.0]}
    world.refuse["webhook"] = Temporary("down")
    one = world.process()
    await one.put("acme", errors())
    one.runner.start()
    await world.pass_s(60)
    retries = one.outbox.counts.retries
    assert 4 <= retries <= 6
    del world.refuse["webhook"]
    await world.pass_s(70)
    assert [told["changes"][0]["state"] for told in world.told("webhook")] == ["alert"]
    await one.close()


async def test_an_end_is_not_told_before_its_alert(world: World) -> None:
    """The pause of the refused alert lasts longer than the alert; a mail does not wait for the webhook."""
    world.engine.answers = {0: {"value": [9.0]}}
    world.refuse["webhook"] = Temporary("down")
    one = world.process()
    await one.put("acme", errors(emails=("team@example.com",)))
    one.runner.start()
    await world.pass_s(100)
    mails = len(world.told("email"))
    del world.refuse["webhook"]
    await world.pass_s(200)
    await one.close()
    assert mails == 2
    assert [told["changes"][0]["state"] for told in world.told("webhook")] == ["alert", "ok"]


@pytest.mark.parametrize("error", [BadInput("the receiver answered 404"), Temporary("down")])
async def test_what_cannot_be_sent_is_said_to_have_failed(world: World, error: Exception) -> None:
    world.engine.otherwise = {"value": [9.0]}
    world.refuse["webhook"] = error
    one = world.process(retry_s=20)
    await one.put("acme", errors())
    one.runner.start()
    await world.pass_s(60)
    await one.close()
    failure = next(row for row in world.told("history") if row["kind"] == "delivery")
    assert failure["state"] == "failed"
    assert failure["monitor"] == "errors"
    assert not await world.documents.documents(OUTBOX)


async def test_an_evaluation_that_fails_says_so_once_and_when_it_works_again(world: World) -> None:
    one = world.process()
    await one.put("acme", errors())
    world.engine.answers = {60: BadQuery("there is no field `x`"), 120: BadQuery("there is no field `x`")}
    one.runner.start()
    await world.pass_s(215)
    await one.close()
    assert [told["subject"] for told in world.told("webhook")] == ["errors cannot be evaluated", "errors is evaluated again"]
    _, state = await one.definitions.monitor("acme", "errors")
    assert state.error == ""


async def test_a_store_that_does_not_answer_is_asked_again_for_the_same_moment(world: World) -> None:
    one = world.process()
    await one.put("acme", errors())
    world.engine.answers = {60: Temporary("later")}
    one.runner.start()
    await world.pass_s(100)
    world.engine.answers = {60: {"value": [9.0]}}
    await world.pass_s(3)
    assert [row["state"] for row in world.told("history")] == ["alert"]
    await one.close()


async def test_groups_and_notifications_of_many(world: World) -> None:
    one = world.process(groups_max=70)
    world.engine.otherwise = {"value": [9] * 80, "service": [f"s{n:02}" for n in range(80)]}
    await one.put("acme", Monitor("m", sql="SELECT", by=("service",), alert=5.0, webhooks=(Webhook("http://h/"),), emails=("a@example.com",)))
    await one.runner.evaluate_due()
    await one.outbox.turn()
    (told,) = world.told("webhook")
    assert (len(told["changes"]), told["more"], told["subject"]) == (50, 20, "m: 70 alert")
    assert told["changes"][0]["group"] == {"service": "s00"}
    history = [json.loads(line) for _, entry in world.sent if entry.to == "history" for line in entry.body.splitlines()]
    assert len(history) == 70
    assert "alert (service s00): 9 (threshold > 5)" in world.told("email")[0]
    _, state = await one.definitions.monitor("acme", "m")
    assert (len(state.groups), state.left_out) == (70, 10)


async def test_a_change_monitor_asks_twice(world: World) -> None:
    one = world.process()
    world.engine.answers = {0: {"value": [30.0]}, -3600: {"value": [10.0]}}
    await one.put("acme", errors(change="percent", alert=100.0, delay_s=0))
    await one.runner.evaluate_due()
    assert [at for _, _, at, _ in world.engine.asked[-2:]] == [0, -3600]
    _, state = await one.definitions.monitor("acme", "errors")
    assert state.groups["[]"].value == 200


@pytest.mark.parametrize(
    ("answer", "given", "word"),
    [
        ({"value": [1, 2]}, {}, "several rows"),
        ({"a": [1], "b": [2]}, {}, "no column `value`"),
        ({"value": ["x"]}, {}, "not a number"),
        ({"value": [1]}, {"by": ("service",)}, "no column `service`"),
    ],
)
async def test_answers_that_are_no_values(world: World, answer: Any, given: dict[str, Any], word: str) -> None:
    world.engine.otherwise = answer
    with pytest.raises(BadQuery, match=word):
        await world.process().put("acme", Monitor("m", sql="SELECT", alert=1.0, **given))


async def test_a_changed_definition_begins_anew_and_a_changed_receiver_does_not(world: World) -> None:
    world.engine.otherwise = {"value": [9.0]}
    one = world.process()
    made = await one.put("acme", errors())
    await one.runner.evaluate_due()
    same = await one.put("acme", errors(message="other"))
    assert (same.id, (await one.definitions.monitor("acme", "errors"))[1].groups["[]"].state) == (made.id, "alert")
    other = await one.put("acme", errors(alert=6.0))
    assert other.id != made.id
    assert not (await one.definitions.monitor("acme", "errors"))[1].groups
    await one.runner.evaluate_due()
    assert (await one.definitions.monitor("acme", "errors"))[1].groups["[]"].state == "alert"


async def test_mute_test_and_delete(world: World) -> None:
    world.engine.otherwise = {"value": [9.0]}
    one = world.process()
    await one.put("acme", errors())
    await one.definitions.mute("acme", "errors", world.clock.now_ns() + 60 * S)
    await one.runner.evaluate_due()
    await one.outbox.turn()
    assert (world.told("webhook"), world.told("history")[0]["told"]) == ([], False)
    tried = await one.attempt("acme", (await one.definitions.monitor("acme", "errors"))[0])
    assert tried.state.groups["[]"].state == "alert"
    assert await one.notify("acme", "errors") == 1
    await one.outbox.turn()
    assert world.told("webhook")[0]["kind"] == "test"
    await one.definitions.remove_monitor("acme", "errors")
    assert not await world.documents.documents("monitor_state")
    with pytest.raises(NotFound):
        await one.definitions.monitor("acme", "errors")


async def test_bounds_and_other_tenants(world: World) -> None:
    one = world.process()
    for n in range(3):
        await one.put("acme", msgspec.structs.replace(errors(), name=f"m{n}"))
    with pytest.raises(BadInput, match="3 monitors"):
        await one.put("acme", errors())
    await one.put("other", errors())
    assert [monitor.name for monitor, _ in await one.definitions.monitors("other")] == ["errors"]
    with pytest.raises(NotFound, match="m1"):
        await one.definitions.monitor("other", "m1")


async def test_saved_queries(world: World) -> None:
    one = world.process()
    await one.definitions.save("acme", SavedQuery("slow", sql="SELECT 1 AS value"))
    await one.put("acme", Monitor("m", saved="slow", alert=1.0))
    assert world.engine.asked[-1][0] == "SELECT 1 AS value"
    with pytest.raises(BadInput, match="`m` asks it"):
        await one.definitions.forget("acme", "slow")
    await one.definitions.remove_monitor("acme", "m")
    await one.definitions.forget("acme", "slow")
    with pytest.raises(NotFound):
        await one.put("acme", Monitor("m", saved="slow", alert=1.0))
    with pytest.raises(BadInput):
        await one.definitions.save("acme", SavedQuery("both", sql="SELECT 1", search=""))


async def test_a_lease_has_one_holder(world: World) -> None:
    leases = [Lease(world.documents, world.clock, str(n), 10) for n in range(3)]
    for _ in range(30):
        held = [await lease.hold() for lease in leases]
        assert sum(held) == 1
        await world.clock.advance(3)
    holder = leases[held.index(True)]
    await holder.release()
    others = [lease for lease in leases if lease is not holder]
    assert await others[0].hold()
    assert not await holder.hold()


async def test_nothing_secret_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    world.engine.otherwise = {"value": [9.0]}
    world.refuse["webhook"] = RuntimeError("http://hook/secret kkkkkkkkkkkkkkkkkkkk")
    one = world.process(retry_s=0)
    await one.put("acme", errors())
    await one.runner.evaluate_due()
    await one.outbox.turn()
    await one.outbox.turn()
    assert "errors" in caplog.text
    assert "secret" not in caplog.text + str(world.told("history"))
    assert "kkkk" not in caplog.text + str(world.told("history"))


async def test_a_conflict_of_two_changes(world: World) -> None:
    one = world.process()
    await one.put("acme", errors())
    outcomes = await asyncio.gather(*(one.put("acme", errors(message=str(n))) for n in range(3)), return_exceptions=True)
    assert any(not isinstance(outcome, Exception) for outcome in outcomes)
    assert all(not isinstance(outcome, Exception) or isinstance(outcome, Conflict) for outcome in outcomes)
