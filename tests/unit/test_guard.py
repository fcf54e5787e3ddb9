"""MLflow's client at a server that is busy, away or keeps us out; the requests themselves are in test_login.py."""

from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException, RestException, get_error_code
from requests import HTTPError, Response

from smlmbench import patience
from smlmbench.addresses import Address
from smlmbench.errors import StoreLostError, StoreShutError
from smlmbench.tracking import guard
from smlmbench.tracking.guard import Guarded

URI = Address("http://ann:hush-hush@host:5000")


@pytest.fixture(autouse=True)
def said(monkeypatch):
    monkeypatch.setattr(guard, "PAUSE_S", 0.01)
    monkeypatch.setattr(patience, "TELL_AFTER_S", 0.0)
    monkeypatch.setattr(patience, "LIMIT_S", 0.2)
    monkeypatch.setattr(patience, "_waits", {})
    lines = []
    before = patience.tell_by(lines.append)
    yield lines
    patience.tell_by(before)


def client(*errors, health=(), monkeypatch, served=True):
    """A client whose call raises these one after the other, the last ever again if it is ALWAYS, then answers.

    `health` is what the server says to /health, one after the other, and then that it is well.
    """
    left, states = list(errors), list(health)
    monkeypatch.setattr(guard, "answers", lambda uri: states.pop(0) if states else True)

    def call(value):
        if left == [ALWAYS]:
            raise BUSY
        if left:
            raise left.pop(0)
        return value

    return Guarded(SimpleNamespace(call=call, uri="x"), URI, served=served)


def answered(code):
    response = Response()
    response.status_code = code
    return HTTPError(f"{code} for url: {URI.whole}/api", response=response)


BUSY = MlflowException(f"API request to {URI.whole}/api failed with exception ... too many 503 error responses")
ALWAYS = object()


@pytest.mark.parametrize(
    "error",
    [
        BUSY,
        MlflowException("SQLAlchemy: database is locked", error_code=6),
        RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "database is restarting"}),
        MlflowException("failed with exception ('Connection aborted.', RemoteDisconnected('...'))"),
        answered(503),
    ],
)
def test_a_busy_server_is_asked_again(error, monkeypatch, said):
    assert client(error, error, monkeypatch=monkeypatch).call(7) == 7
    (line,) = said
    assert line.startswith("http://ann:***@host:5000 is busy (")
    assert patience._waits == {}


def test_a_server_that_stays_busy_is_one_line(monkeypatch, said):
    with pytest.raises(StoreShutError, match=r"http://ann:\*\*\*@host:5000 is busy \(too many 503 .*what is finished"):
        client(ALWAYS, monkeypatch=monkeypatch).call(7)
    assert len(said) == 1


def test_a_server_that_is_away_is_waited_for_and_may_come_back(monkeypatch, said):
    assert client(ValueError("x"), health=[False, False], monkeypatch=monkeypatch).call(7) == 7
    assert [line.partition(";")[0] for line in said] == ["the MLflow server http://ann:***@host:5000 does not answer"]


def test_a_server_that_stays_away_is_lost(monkeypatch):
    with pytest.raises(StoreLostError, match="does not answer any more") as caught:
        client(ALWAYS, health=[False] * 999, monkeypatch=monkeypatch).call(7)
    assert not isinstance(caught.value, StoreShutError)


@pytest.mark.parametrize(
    "error",
    [
        answered(401),
        RestException({"error_code": "PERMISSION_DENIED", "message": "Permission denied"}),
        MlflowException(
            "API request to endpoint /api failed with error code 401 != 200", error_code=get_error_code(401)
        ),
    ],
)
def test_a_refused_login_ends_at_once_and_says_what_to_set(error, monkeypatch, said):
    with pytest.raises(StoreShutError, match="refuses this login .* set MLFLOW_TRACKING_USERNAME and") as caught:
        client(error, monkeypatch=monkeypatch).call(7)
    assert said == []
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize("error", [answered(400), answered(500), MlflowException(f"odd at {URI.whole}"), KeyError("x")])
def test_other_errors_are_passed_on_without_a_password(error, monkeypatch, said):
    with pytest.raises(type(error)) as caught:
        client(error, monkeypatch=monkeypatch).call(7)
    assert said == []
    assert "hush-hush" not in str(caught.value)
    assert "hush-hush" not in getattr(caught.value, "message", "")


def test_what_sqlite_says_through_mlflow_is_raised_as_it_is(monkeypatch):
    wrapped = MlflowException("x")
    wrapped.__cause__ = StoreShutError("x.db is locked by process 1")
    with pytest.raises(StoreShutError, match="^x.db is locked by process 1$"):
        client(wrapped, monkeypatch=monkeypatch, served=False).call(7)


def test_what_is_no_call_is_handed_out(monkeypatch):
    assert client(monkeypatch=monkeypatch).uri == "x"
