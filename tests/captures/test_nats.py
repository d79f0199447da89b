"""NATS as DeepFlow sees it; this version of tshark does not know it."""

import re

import pytest
from tests.captures.harness import Capture, captures, transactions

KINDS = [({"Connect"}, {"CONNECT"}), ({"Sub"}, {"subscribe"}), ({"Unsub"}, {"unsubscribe"}), ({"Pub", "Hpub"}, {"publish", "request"}), ({"Msg", "Hmsg"}, {"deliver"})]


@pytest.mark.parametrize("capture", [one for one in captures("nats") if one.beside(".result")], ids=str)
def test_as_deepflow(capture: Capture) -> None:
    found = re.findall(r"message: (\w+)\((?:\w+) \{ (?:subject: \"([^\"]*)\")?", capture.beside(".result")[0].read_text())
    ours = transactions(capture, "nats")
    for kinds, operations in KINDS:
        theirs = [subject for name, subject in found if name in kinds]
        mine = [row["target"] for row in ours if row["operation"] in operations]
        assert len(mine) == len(theirs), (kinds, mine, theirs)
        assert [target.partition("*")[0] for target in mine if target] == [subject[: len(target.partition("*")[0])] for subject, target in zip(theirs, mine, strict=True) if target]
