"""What runs on a host, or reads what was recorded on one: what its services say to each other, without touching them.

In: bytes that services exchange, so far from capture files. Out: transactions with their operation, outcome and duration, and rates, errors and
durations per operation. Guarantees: memory is bounded whatever the bytes hold, and no secret, literal or query argument leaves a decoder.
Never: changes traffic, or imports store, query or DataFusion.
"""
