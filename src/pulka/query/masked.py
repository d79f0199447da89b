"""The text of a query without what it compares with: for lists that more people see than asked."""

import re

__all__ = ["masked"]

_TOKEN = re.compile(r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<name>"(?:[^"]|"")*"|[^\W\d]\w*)|(?P<literal>'(?:[^']|'')*(?:'|\Z)|\d[\w.]*)|\s+|.""", re.S)
_ELSEWHERE = re.compile(r"\$|\\'")
"""Texts in dollars and with escaped quotes end where this pattern does not see it."""
_CHARS_MAX = 2000


def masked(sql: str) -> str:
    """`sql` with `?` for every text and number, without comments; of a text that cannot be told apart, its first word."""
    if _ELSEWHERE.search(sql):
        return f"{sql.split(maxsplit=1)[0][:20]} ..."
    text = "".join(_shown(token) for token in _TOKEN.finditer(sql[: 4 * _CHARS_MAX])).strip()
    return text if len(text) <= _CHARS_MAX else f"{text[:_CHARS_MAX]} ..."


def _shown(token: "re.Match[str]") -> str:
    if token["literal"]:
        return "?"
    return " " if token["comment"] or token[0].isspace() else token[0]
