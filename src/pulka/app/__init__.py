"""Wires the lake: the only room that names implementations.

In: settings. Out: a running lake with its listeners, or one command over a state directory.
Guarantees: start order follows the data - catalog, object store, journal (recovery), writer (replay), then intake, engine and the listeners -
so that nothing is asked before everything acknowledged is visible again; stop order is the reverse.
Never: holds logic of its own; whoever wants one part imports its file, so that small commands load little.
"""
