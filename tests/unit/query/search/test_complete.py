import pytest

from pulka.query.search import complete
from pulka.query.search.complete import wanted_values

ASKED = {("service", "w"): ["web", "web api"], ("service", ""): ["web", "and"], ("http.status_code", ""): ["500"], ("service", "my w"): ["my web"]}


def suggested(table, marked):
    """Completion at the `|` of a text: the texts it could become, and the suggestions."""
    position = marked.index("|")
    text = marked.replace("|", "")
    wanted = wanted_values(text, position, table)
    found = complete(text, position, table, ASKED.get(wanted, []))
    first, behind = found.span
    return [text[:first] + "{" + one.text + "}" + text[behind:] for one in found.suggestions], found


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("ser|", "{service:}"),
        ("a ser|vice:web", "a {service:}web"),
        ("status|", "{http.status_code:}"),
        ("-ser|", "-{service:}"),
        ("(a OR ser|", "(a OR {service:}"),
        ("hos|", "{hostname:}"),
        ("odd|", '{"odd\\"name":}'),
        ("a A|", "a {AND}"),
        ("ha|", "{has:}"),
        ("has:tra|", "has:{trace_id}"),
        ("missing:|", "missing:{env}"),
        ("service:w|", "service:{web}"),
        ("service:w|xyz b", "service:{web} b"),
        ("service:w|", 'service:{"web api"}'),
        ("service:|", 'service:{"and"}'),
        ('service:"my w|', 'service:{"my web"}'),
        ("service:|", "service:{*}"),
        ("service:(a OR w|", "service:(a OR {web}"),
        ("http.status_code:|", "http.status_code:{>=}"),
        ("http.status_code:>=|", "http.status_code:>={500}"),
        ("ok:t|", "ok:{true}"),
        ("level:(debug OR er|", "level:(debug OR {error}"),
        ("timestamp:[now-|", "timestamp:[{now-15m}"),
    ],
)
def test_what_could_be_typed_next(logs, marked, expected):
    assert expected in suggested(logs, marked)[0]


@pytest.mark.parametrize("marked", ['"ser|', "/ser/|", "service:web|x", "nothing:|", "level:err\"|"])
def test_where_nothing_is_known_nothing_is_suggested(logs, marked):
    assert suggested(logs, marked)[0] == []


def test_fields_come_with_their_type_and_prefixes_first(logs):
    found = suggested(logs, "se|")[1].suggestions
    assert [(one.text, one.kind, one.detail) for one in found][:3] == [
        ("service:", "field", "str"), ("severity:", "field", "str"), ("severity_number:", "field", "i64"),
    ]  # fmt: skip


def test_joining_words_are_not_lost_among_many_fields(logs):
    from tests.unit.query.search.conftest import table_of

    many = table_of("logs", {f"f{n}": {"str"} for n in range(200)})
    assert "OR" in [one.text for one in suggested(many, "a |")[1].suggestions]


@pytest.mark.parametrize("text", ["", "((((", 'a:"b', "x:[1 TO", "-", "a:(b OR -c) NOT d:/e/ :"])
def test_any_position_of_any_text_has_an_answer(logs, text):
    for position in range(len(text) + 1):
        first, behind = complete(text, position, logs).span
        assert 0 <= first <= position <= behind <= len(text)
