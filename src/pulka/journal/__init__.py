"""The durable log between intake and store.

In: decoded batches of acknowledged requests. Out: the same batches, in order per partition, at least once.
Guarantees: what `append` returned for survives kill -9 and power loss; a torn tail is cut, corrupt bytes are kept aside and reported.
Never: knows what a table is, or waits for the store.
"""
