"""SQL over one tenant's tables, fragments and fresh batches together.

In: SQL, a tenant, a time window and limits; fragments from the catalog, fresh batches from the writer.
Out: a stream of Arrow batches with statistics, or the plan in words.
Guarantees: a row is seen exactly once, pruning never loses one, and every bound of a query is kept.
Never: writes, changes a setting, or reads anything but the tenant's own tables.
"""

from pulka.query.engine import DataFusionEngine

__all__ = ["DataFusionEngine"]
