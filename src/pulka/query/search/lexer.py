"""Text to tokens with their places. What a character means depends on where it stands: behind `field:` a colon or a
minus is part of the value, and only within `[a TO b]` do brackets end a word.

`tokens` never fails: what is left open runs to the end and is marked, so that completion can read a search half typed.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from pulka.query.search.nodes import Span, Wildcard

__all__ = ["KEYWORDS", "Kind", "Token", "tokens"]

Kind = Literal["word", "phrase", "regex", "field", "op", "(", ")", "[", "]", "{", "}", "-", "and", "or", "not", "to", "end"]
KEYWORDS: dict[str, Kind] = {"AND": "and", "OR": "or", "NOT": "not", "TO": "to"}
"""Words that are operators, in any case, unless quoted; `TO` within a range only."""
_OPS = (">=", "<=", ">", "<")


@dataclass(frozen=True, slots=True)
class Token:
    """A token: `parts` is its text without quotes and escapes, with wildcards apart. `of` is the field whose value it is."""

    kind: Kind
    span: Span
    parts: tuple[str | Wildcard, ...] = ()
    quoted: bool = False
    closed: bool = True
    of: "Token | None" = None

    @property
    def text(self) -> str:
        """The text, wildcards as they were written."""
        return "".join(part if isinstance(part, str) else part.value for part in self.parts)


def tokens(text: str) -> list[Token]:
    """All tokens of `text`; the last one is `end`."""
    return _Lexer(text).run()


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: list[Token] = []
        self._groups: list[Token | None] = []  # open parentheses: the field whose values they hold
        self._range: Token | None = None  # the field whose range is open

    def run(self) -> list[Token]:
        while self._skip_blanks() < len(self._text):
            self._next()
        self._add("end", 0)
        return self._found

    def _skip_blanks(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _next(self) -> None:
        char, last = self._text[self._at], self._last()
        if char == '"':
            self._phrase()
        elif char in "[{" and last == "field":
            self._range = self._found[-1]
            self._add(char, 1)  # type: ignore[arg-type]  # each bracket is a Kind
        elif char in "[{]}" and self._range:
            self._range = None
            self._add(char, 1)  # type: ignore[arg-type]
        elif char in "<>" and last == "field":
            op = next(op for op in _OPS if self._text.startswith(op, self._at))
            self._add("op", len(op), op)
        elif char in "()":
            self._parenthesis(char)
        elif char == "-" and not self._field():
            self._add("-", 1)
        elif char == "/" and not self._range and (length := _regex_length(self._text, self._at)):
            self._regex(length)
        else:
            self._word()

    def _last(self) -> Kind | None:
        return self._found[-1].kind if self._found else None

    def _field(self) -> Token | None:
        """The field whose value comes next, if one does."""
        match self._last():
            case "field":
                return self._found[-1]
            case "op":
                return self._found[-2]
        return self._range or (self._groups[-1] if self._groups else None)

    def _add(self, kind: Kind, length: int, *parts: str | Wildcard, quoted: bool = False, closed: bool = True) -> None:
        span = (self._at, self._at + length)
        self._found.append(Token(kind, span, parts, quoted, closed, None if kind == "field" else self._field()))
        self._at += length

    def _parenthesis(self, char: str) -> None:
        if char == "(":
            self._groups.append(self._field())
        elif self._groups:
            self._groups.pop()
        self._add("(" if char == "(" else ")", 1)

    def _phrase(self) -> None:
        """A quoted text; directly before a colon, the name of a field."""
        at, characters = self._at + 1, []
        while at < len(self._text) and self._text[at] != '"':
            if self._text[at] == "\\" and self._text[at + 1 : at + 2] in ('"', "\\"):
                at += 1
            characters.append(self._text[at])
            at += 1
        closed = at < len(self._text)
        length, text = at + closed - self._at, "".join(characters)
        if self._text[at + 1 : at + 2] == ":" and not self._field():
            self._add("field", length + 1, text, quoted=True)
        else:
            self._add("phrase", length, text, quoted=True, closed=closed)

    def _regex(self, length: int) -> None:
        inner = self._text[self._at + 1 : self._at + length - 1]
        self._add("regex", length, _without_escaped_slashes(inner))

    def _word(self) -> None:
        """A word up to a blank, a quote or a parenthesis; up to its first colon, the name of a field."""
        stops = '()"[]{}' if self._range else '()"'
        pieces: list[str | Wildcard] = []
        at = self._at
        while at < len(self._text) and not (self._text[at].isspace() or self._text[at] in stops):
            char, following = self._text[at], self._text[at + 1 : at + 2]
            if char == ":" and at > self._at and not self._field():
                return self._add("field", at + 1 - self._at, *_joined(pieces))
            if char == "\\" and following and not following.isalnum():
                at += 1
                pieces.append(following)
            else:
                pieces.append(Wildcard(char) if char in "*?" else char)
            at += 1
        return self._add(self._keyword(self._text[self._at : at]), at - self._at, *_joined(pieces))

    def _keyword(self, written: str) -> Kind:
        kind = KEYWORDS.get(written.upper(), "word")
        is_value = self._last() in ("field", "op") or (kind == "to") != (self._range is not None)
        return "word" if is_value else kind


def _joined(pieces: list[str | Wildcard]) -> list[str | Wildcard]:
    """Characters joined to texts; of `*` side by side one."""
    joined: list[str | Wildcard] = []
    for kind, run in groupby(pieces, lambda piece: str if isinstance(piece, str) else piece):
        if kind is str:
            joined.append("".join(map(str, run)))
        else:
            joined += [Wildcard.ANY] if kind is Wildcard.ANY else list(run)
    return joined


def _regex_length(text: str, start: int) -> int:
    """The length of `/.../` at `start`, or 0: a path like `/api/v1` is none, as its second slash is not at a word's end."""
    at = start + 1
    while at < len(text) and text[at] != "/":
        at += 2 if text[at] == "\\" else 1
    behind = text[at + 1 : at + 2]
    is_regex = at < len(text) and at > start + 1 and (not behind or behind.isspace() or behind == ")")
    return at + 1 - start if is_regex else 0


def _without_escaped_slashes(inner: str) -> str:
    pieces: list[str] = []
    characters = iter(inner)
    for char in characters:
        following = next(characters, "") if char == "\\" else ""
        pieces.append("/" if char + following == "\\/" else char + following)
    return "".join(pieces)
