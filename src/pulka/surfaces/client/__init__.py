"""Pulka for Python programs: `pulka.connect`, over the public HTTP API.

In: SQL, searches, and events as Arrow, Polars, pandas or plain objects. Out: results that are Arrow tables.
Guarantees: errors are those of `pulka.errors`; what `ingest` has returned for is durable and stored once.
Never: needs Polars or pandas, or touches a state directory that a server holds.
"""
