"""The `pulka` command.

In: arguments and stdin. Out: data on stdout, everything else on stderr, an exit code that says what to do next.
Guarantees: 0 done, 1 answered no or bad data, 2 usage, 3 temporary, 4 internal, 130 interrupted.
Never: prompts without a terminal, or deletes without `--dry-run` beside it.
"""
