"""Public fakes: a clock that stands still (`clock`), a disk that fails on demand (`disk`), files of a directory (`files`).

In: what should go wrong, and when. Out: implementations of the seams for tests.
Guarantees: seeded, so every failure repeats.
Never: imported by anything but tests.
"""
