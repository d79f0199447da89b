"""What SQL can say here beside DataFusion's own functions.

In: calls in the text of a query (macros, which become other SQL before anything is planned), or Arrow arrays (functions of a session).
Out: SQL that pruning sees through and the engine's own operators run; arrays that the core has made.
Guarantees: strings, quoted names and comments are left alone; a wrong use is a BadQuery that shows a right one.
Never: reads a table, or makes of a literal more than it says.
"""

from pulka.query.functions.macros import Surroundings, expand
from pulka.query.functions.registry import register

__all__ = ["Surroundings", "expand", "register"]
