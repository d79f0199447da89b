"""Public fakes: clocks (`clock`), a loop without real time (`loop`), disks, object stores and catalogs that fail on demand.

In: what should go wrong, and when. Out: implementations of the seams for tests.
Guarantees: seeded, so every failure repeats.
Never: imported by anything but tests.
"""
