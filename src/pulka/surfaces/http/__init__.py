"""The HTTP API, and OTLP over gRPC beside it: one router file per noun.

In: HTTP requests of senders and readers. Out: acknowledgements, streamed results, RFC 9457 problems.
Guarantees: a body is bounded while it is read, a failure names its kind and what to do, results stream.
Never: knows which journal, catalog or engine stands behind the seams.
"""

from pulka.surfaces.http.app import create_app
from pulka.surfaces.http.services import HttpSettings, Services

__all__ = ["HttpSettings", "Services", "create_app"]
