"""How people and programs reach Pulka: HTTP API and command line.

In: requests and commands. Out: answers, and errors that say what to do next.
Guarantees: every surface uses the same public HTTP API or the same query functions.
Never: has an endpoint that only the user interface knows.
"""
