"""DNS as tshark sees it."""

import pytest
from tests.captures.harness import Agreement, captures, transactions, tshark

RCODE = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE")


@pytest.mark.tshark
def test_names_and_response_codes() -> None:
    """Questions are compared as sets per stream: a repeated query is one transaction here and several packets there."""
    agreement = Agreement("dns")
    fields = ("dns.flags.response", "dns.qry.name", "dns.flags.rcode", "dns.id", "udp.stream", "tcp.stream")
    for capture in captures("dns"):
        rows = tshark(capture, "dns or mdns", fields)
        ours = transactions(capture, "dns")
        asked = {(row["dns.qry.name"].split("\t")[0].lower(), row["dns.id"], row["udp.stream"], row["tcp.stream"]) for row in rows if row["dns.flags.response"] in ("0", "False") and row["dns.qry.name"]}
        agreement.add(capture, (row["target"] for row in ours if not row["initiator"].startswith("server")), (name.replace("<Root>", ".") for name, *_ in asked))
        codes = (RCODE[int(row["dns.flags.rcode"])] for row in rows if row["dns.flags.response"] in ("1", "True") and row["dns.flags.rcode"])
        agreement.add(capture, (row["status"] for row in ours if row["status"]), codes)
    agreement.check()
