"""Queries that DataFusion cannot stop, in a process of their own.

In: the same statements, tables and pruned sources that a query in this process gets. Out: the same batches and errors.
Guarantees: at the deadline, or when nobody reads on, the process is killed, and with it all CPU and memory the query has; past
its memory it dies alone.
Never: sees another tenant's files or memory, or outlives the server.

A join has no point of rest in DataFusion 54 while its output dwarfs its input, and a plan is optimised in one go, with constants
as large as a query makes them. `processes.py` starts a process: on Linux by `forks.py`, which has it forked from a `template.py` that has imported everything.
"""

from pulka.query.apart.process import Apart
from pulka.query.apart.processes import Processes
from pulka.query.apart.suspects import grows, lingers, multiplies

__all__ = ["Apart", "Processes", "grows", "lingers", "multiplies"]
