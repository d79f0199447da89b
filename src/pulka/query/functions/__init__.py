"""What SQL can say here beside DataFusion's own functions.

In: a statement, and arrays of its arguments. Out: the statement without macros, and arrays. Guarantees: macros become other SQL before anything is
planned, so that pruning sees through them; functions over arrays are done by the core. Never: reads anything but its arguments.
"""

from pulka.query.functions.macros import Surroundings, expand
from pulka.query.functions.registry import register

__all__ = ["Surroundings", "expand", "register"]
