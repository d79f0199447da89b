"""Public fakes and contract suites of the seams.

In: nothing but what a test puts in. Out: implementations of the seams that live in memory.
Guarantees: they keep the same contract as the real ones.
Never: used by the server.
"""
