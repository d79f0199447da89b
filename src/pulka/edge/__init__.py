"""What runs on a host, or reads what was recorded on one.

In: bytes that services exchange (so far from capture files). Out: transactions with their operation, outcome and duration,
and rates, errors and durations per operation. It guarantees bounded memory whatever the bytes hold, and that no secret,
literal or query argument leaves a decoder. It never changes traffic, and never imports store, query or DataFusion.
"""
