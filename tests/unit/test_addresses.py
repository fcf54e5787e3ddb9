import pickle

import pytest

from smlmbench.addresses import Address, command, hidden


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://ann:secret@host:5000/x", "http://ann:***@host:5000/x"),
        ("(postgresql+psycopg2://u:secret@h/db) is down", "(postgresql+psycopg2://u:***@h/db) is down"),
        ("http://ann:se@cr/et@host", "http://ann:***@host"),
        ("http://:secret@host", "http://:***@host"),
        ("https://0123456789abcdefsecret@host", "https://***@host"),
        ("postgresql://h/db?user=u&password=secret&ssl=1", "postgresql://h/db?user=u&password=***&ssl=1"),
        ("'http://a:secret@h' and 'http://b:secret@i'", "'http://a:***@h' and 'http://b:***@i'"),
        ("http://ann@host", "http://ann@host"),
        ("http://localhost:5000/#/experiments/1", "http://localhost:5000/#/experiments/1"),
        ("sqlite:////home/a@b:c/x.db", "sqlite:////home/a@b:c/x.db"),
        ("models:/m@champion", "models:/m@champion"),
        ("a=b, c: d@e", "a=b, c: d@e"),
    ],
)
def test_a_password_is_masked_and_nothing_else(text, shown):
    assert hidden(text) == shown
    assert hidden(shown) == shown


def test_an_address_connects_with_what_it_does_not_show():
    made = pickle.loads(pickle.dumps(Address("http://ann:secret@host:5000")))
    assert made.whole == "http://ann:secret@host:5000"
    assert made.bare == "http://host:5000"
    for shown in (str(made), repr(made), f"{made}", f"{[made]}", made + ""):
        assert "secret" not in shown
    assert made == "http://ann:***@host:5000"
    assert Address("sqlite:////a b/mlflow.db").bare == "sqlite:////a b/mlflow.db"


def test_a_command_can_be_pasted():
    assert command("smlmbench", "ui", "--store", "/a b/it's") == "smlmbench ui --store '/a b/it'\"'\"'s'"
    assert command("smlmbench", "run", "--store=http://a:secret@h") == "smlmbench run '--store=http://a:***@h'"
