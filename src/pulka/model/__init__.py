"""Tables, fields and their types, time windows, tenancy, ids: the nouns every stage shares.

In: names and numbers. Out: small immutable values.
Guarantees: pure functions, no I/O.
Never: imports anything else of Pulka except `pulka.errors`.
"""
