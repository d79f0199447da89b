"""Questions that are asked again and again during an incident, each one function over the Engine seam.

In: a table, conditions and windows. Out: small answers as plain values, for every surface alike.
Guarantees: one pass or one query with its limits; a tenant's own rows only, as the engine sees to it.
Never: reads files or the catalog itself.
"""
