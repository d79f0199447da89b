"""The store: from acknowledged batches to sorted, merged, well-described Parquet.

In: journal records (`writer`). Out: fragments in an object store and the catalog that knows them (`catalog`).
Guarantees: a row is in the writer's buffer or in a published fragment, in exactly one of the two for any one snapshot, whatever step fails.
Never: changes a published fragment, lists a bucket outside `check` and `repair`, or deletes an object the catalog still counts on.
"""
