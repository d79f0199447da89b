"""Live tails: subscriptions to acknowledged batches as the writer takes them, filtered like queries.

In: batches that queries see from now on, and readers with a search or a condition. Out: rows as they come, and how many are not shown.
Guarantees: a filter means what it means in a query; what waits for a reader is bounded in bytes, and what is dropped is counted.
Never: shows a row twice over one connection, or to another tenant.
"""

from pulka.query.tails.filter import Filters, Only
from pulka.query.tails.hub import Tails
from pulka.query.tails.subscription import Delivery, Subscription, TailSettings

__all__ = ["Delivery", "Filters", "Only", "Subscription", "TailSettings", "Tails"]
