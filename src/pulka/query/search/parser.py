"""Tokens to a tree, by recursive descent.

    search     = [ either ]
    either     = both { "OR" both }
    both       = negated { [ "AND" ] negated }
    negated    = { "-" | "NOT" } ( "(" either ")" | term )
    term       = word | phrase | regex | field ( condition | "(" values ")" )
    condition  = value | ( ">=" | ">" | "<=" | "<" ) value | ( "[" | "{" ) bound "TO" bound ( "]" | "}" )
    values     = all { "OR" all }        all = one { "AND" one }        one = { "NOT" } ( value | "(" values ")" )

Depth, terms and length are bounded, so that no text exhausts this stack or that of the SQL parser behind it.
"""

from collections.abc import Callable

from pulka.errors import BadQuery
from pulka.query.search.errors import wrong
from pulka.query.search.lexer import Kind, Token, tokens
from pulka.query.search.literals import literal
from pulka.query.search.nodes import (
    EVERYTHING,
    Compare,
    Field,
    Has,
    Literal,
    Match,
    Node,
    Not,
    Pattern,
    Range,
    Regex,
    Value,
    Wildcard,
    all_of,
    any_of,
)

__all__ = ["DEPTH_MAX", "LENGTH_MAX", "PRESENCE", "TERMS_MAX", "parse"]

DEPTH_MAX = 16
"""Parentheses and negations within each other; the SQL parser takes about three times as many."""
TERMS_MAX = 500
LENGTH_MAX = 64 * 1024
PRESENCE = {"has": True, "_exists_": True, "missing": False}
"""Names before a colon that ask for a field, or for the lack of it, unless they are quoted."""
_VALUE_KINDS: tuple[Kind, ...] = ("word", "phrase", "regex")
_VALUE_HINT = 'a value follows the colon: field:value, field:"two words", field:>=5, field:[1 TO 5], field:(a OR b), field:pre*, field:/regex/'
_TERM_HINT = 'words, "phrases", field:value, has:field, ( ), AND, OR, NOT and - are understood; put other text in quotes'


def parse(text: str) -> Node:
    """The tree of a search; BadQuery names the column of what is wrong. An empty text is true of every event."""
    if len(text) > LENGTH_MAX:
        raise BadQuery(f"a search has at most {LENGTH_MAX:,} characters", hint="narrow it, or ask in SQL")
    _check_unicode(text)
    return _Parser(tokens(text)).search()


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise wrong("this character is not Unicode", (error.start, error.end), "send the search as UTF-8") from None


class _Parser:
    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._index = 0
        self._depth = 0
        self._terms = 0

    def search(self) -> Node:
        if self._peek().kind == "end":
            return EVERYTHING
        node = self._either(self._both)
        if self._peek().kind != "end":
            raise self._unexpected()
        return node

    def _peek(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._peek()
        self._index += token.kind != "end"
        return token

    def _accept(self, kind: Kind) -> bool:
        found = self._peek().kind == kind
        self._index += found
        return found

    def _either(self, part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self._accept("or"):
            parts.append(part())
        return any_of(parts)

    def _both(self) -> Node:
        parts = [self._negated()]
        while self._accept("and") or self._peek().kind not in ("or", ")", "end"):
            parts.append(self._negated())
        return all_of(parts)

    def _negated(self) -> Node:
        if self._peek().kind in ("-", "not"):
            return self._nested(lambda: Not(self._negated()))
        if self._peek().kind == "(":
            return self._nested(lambda: self._either(self._both))
        return self._term()

    def _nested(self, inner: Callable[[], Node]) -> Node:
        """What a parenthesis or a negation holds, within the bound of depth."""
        opening = self._take()
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise wrong(f"parentheses and negations nest at most {DEPTH_MAX} deep", opening.span, "write it flatter")
        node = inner()
        self._depth -= 1
        if opening.kind == "(" and not self._accept(")"):
            raise self._unclosed(opening)
        return node

    def _unclosed(self, opening: Token) -> BadQuery:
        if self._peek().kind == "end":
            return wrong("this parenthesis is not closed", opening.span, 'add `)`, or put the text in quotes: "f("')
        return self._unexpected()

    def _term(self) -> Node:
        token = self._take()
        self._count(token)
        if token.kind == "field":
            return self._field(token)
        if token.kind not in _VALUE_KINDS:
            raise self._unexpected(token)
        value = _value(token)
        if isinstance(value, Pattern) and value.parts == (Wildcard.ANY,):
            return EVERYTHING
        return Match(None, Literal(value.text, span=value.span) if isinstance(value, Literal) else value)

    def _field(self, token: Token) -> Node:
        if not token.quoted and token.text in PRESENCE:
            present = Has(self._name())
            return present if PRESENCE[token.text] else Not(present)
        if any(isinstance(part, Wildcard) for part in token.parts):
            raise wrong("the name of a field takes no wildcards", token.span, "name one field; join several with OR")
        field = Field(token.text, (token.span[0], token.span[1] - 1))
        match self._peek().kind:
            case "(":
                return self._nested(lambda: self._either(lambda: self._all_values(field)))
            case "[" | "{":
                return self._range(field)
            case "op":
                op = self._take().text
                return Compare(field, op, self._literal(">= and the like take one value without wildcards"))  # type: ignore[arg-type]
        return self._match(field)

    def _name(self) -> Field:
        token = self._take()
        if token.kind not in ("word", "phrase") or not token.text:
            raise wrong("the name of a field is missing", token.span, "as in has:trace_id or missing:env")
        if any(isinstance(part, Wildcard) for part in token.parts):
            raise wrong("the name of a field takes no wildcards", token.span, "name one field; join several with OR")
        return Field(token.text, token.span)

    def _match(self, field: Field) -> Node:
        token = self._take()
        if token.kind not in _VALUE_KINDS:
            raise wrong("the value is missing", token.span, _VALUE_HINT)
        value = _value(token)
        if isinstance(value, Pattern) and value.parts == (Wildcard.ANY,):
            return Has(field)
        return Match(field, value)

    def _all_values(self, field: Field) -> Node:
        parts = [self._one_value(field)]
        while self._accept("and"):
            parts.append(self._one_value(field))
        if self._peek().kind not in ("or", ")", "end"):
            raise wrong("OR or AND is missing between two values", self._peek().span, "as in field:(a OR b)")
        return all_of(parts)

    def _one_value(self, field: Field) -> Node:
        token = self._peek()
        if token.kind == "not":
            return self._nested(lambda: Not(self._one_value(field)))
        if token.kind == "(":
            return self._nested(lambda: self._either(lambda: self._all_values(field)))
        self._count(token)
        return self._match(field)

    def _range(self, field: Field) -> Node:
        opening = self._take()
        low = self._bound()
        if not self._accept("to"):
            raise wrong("TO is missing between the bounds", self._peek().span, "as in field:[1 TO 5] or field:[1 TO *}")
        high = self._bound()
        closing = self._take()
        if closing.kind not in ("]", "}"):
            raise wrong("the range is not closed", closing.span, "] includes the bound, } excludes it")
        return Range(field, low, high, opening.kind == "[", closing.kind == "]")

    def _bound(self) -> Literal | None:
        if self._peek().parts == (Wildcard.ANY,):
            self._take()
            return None
        return self._literal("a bound is one value, or * for none")

    def _literal(self, accepted: str) -> Literal:
        token = self._take()
        value = _value(token) if token.kind in ("word", "phrase") else None
        if not isinstance(value, Literal):
            raise wrong("a single value belongs here", token.span, accepted)
        return value

    def _count(self, token: Token) -> None:
        self._terms += 1
        if self._terms > TERMS_MAX:
            raise wrong(f"a search has at most {TERMS_MAX} terms", token.span, "narrow it, or ask in SQL")

    def _unexpected(self, token: Token | None = None) -> BadQuery:
        token = token or self._peek()
        if token.kind == "end":
            return wrong("something is missing at the end", token.span, _TERM_HINT)
        return wrong(f"`{token.kind.upper()}` does not belong here", token.span, _TERM_HINT)


def _value(token: Token) -> Value:
    if not token.closed:
        raise wrong("this quote is not closed", token.span, 'add `"`; within quotes a quote is written \\"')
    if token.kind == "regex":
        return Regex(token.text, token.span)
    if any(isinstance(part, Wildcard) for part in token.parts):
        return Pattern(token.parts, token.span)
    return literal(token.text, quoted=token.quoted, span=token.span)
