"""How people, programs and agents reach Pulka.

In: requests of one protocol each. Out: answers, and errors that say what to do next.
Guarantees: every surface shows the same answers and the same closed set of error kinds.
Never: holds logic that another surface would need too.
"""
