"""Random trees in canonical form, as the parser makes them."""

from hypothesis import strategies as st

from pulka.query.search.literals import literal
from pulka.query.search.nodes import (
    EVERYTHING,
    Compare,
    Field,
    Has,
    Literal,
    Match,
    Not,
    Pattern,
    Range,
    Regex,
    Wildcard,
    all_of,
    any_of,
)  # fmt: skip

TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("""ab*?:"'\\()[]{}/-<>= \t%_TO""")), max_size=8)
NUMBERS = st.one_of(st.integers(-999, 999).map(str), st.sampled_from(["1.5", "-0.25", "1e3", "10.0.0.0/8", "::/0", "and", "TO", "not", "-x", "/a/", "/a"]))


def literals(text=TEXT):
    return st.builds(lambda value, quoted: literal(value, quoted=quoted), st.one_of(text, NUMBERS), st.booleans())


@st.composite
def patterns(draw, text=TEXT):
    pieces = draw(st.lists(st.one_of(text.filter(bool), st.sampled_from(Wildcard)), min_size=1, max_size=5))
    parts = []
    for piece in [*pieces, draw(st.sampled_from(Wildcard))]:
        if isinstance(piece, str) and parts and isinstance(parts[-1], str):
            parts[-1] += piece
        elif not (piece is Wildcard.ANY and parts[-1:] == [Wildcard.ANY]):
            parts.append(piece)
    return EVERYTHING if parts == [Wildcard.ANY] else Pattern(tuple(parts))


def regexes(text=TEXT):
    def valid(expression):
        before = 0
        for char in expression:
            if char == "/" and before % 2:
                return False
            before = before + 1 if char == "\\" else 0
        return bool(expression) and before % 2 == 0

    return text.filter(valid).map(Regex)


def nodes(leaves=None):
    fields = TEXT.map(Field)
    proper = patterns().filter(lambda pattern: pattern is not EVERYTHING)
    values = st.one_of(literals(), proper, regexes())
    bounds = st.one_of(st.none(), literals())
    leaf = leaves if leaves is not None else st.one_of(
        st.just(EVERYTHING),
        st.builds(Has, fields.filter(lambda field: field.name)),
        st.builds(Match, fields, values),
        st.builds(lambda value: Match(None, Literal(value.text) if isinstance(value, Literal) else value), values),
        st.builds(Compare, fields, st.sampled_from([">=", ">", "<=", "<"]), literals()),
        st.builds(Range, fields, bounds, bounds, st.booleans(), st.booleans()),
    )
    return st.recursive(leaf, lambda inner: st.one_of(
        st.builds(Not, inner), st.lists(inner, min_size=2, max_size=4).map(all_of), st.lists(inner, min_size=2, max_size=4).map(any_of)
    ), max_leaves=8)  # fmt: skip
