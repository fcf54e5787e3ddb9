import base64
import datetime
import ipaddress
import os
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from smlmbench.errors import StoreError
from smlmbench.tracking.location import check, local_path, make_database, on_network, resolve


def test_default_is_mlruns_below_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    where = resolve(None)
    assert where.home == tmp_path / "mlruns"
    assert where.uri == f"sqlite:///{tmp_path}/mlruns/mlflow.db"


def test_environment_is_used_and_an_explicit_location_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/env/other.db")
    assert resolve(None).database == tmp_path / "env" / "other.db"
    assert resolve(tmp_path / "mine").home == tmp_path / "mine"


def test_server_keeps_its_work_in_a_local_folder(tmp_path):
    where = resolve("http://localhost:5000/", home=tmp_path)
    assert (where.uri, where.home, where.database) == ("http://localhost:5000", tmp_path, None)


def test_a_password_in_an_address_that_is_refused_is_not_shown():
    with pytest.raises(StoreError, match=r"store 'postgresql://u:\*\*\*@h/db' is not accepted"):
        resolve("postgresql://u:hush-hush@h/db")


@pytest.mark.parametrize("location", ["file:///home/mlruns", "databricks://x", "postgresql://u@h/db"])
def test_other_addresses_are_refused_with_what_is_accepted(location):
    with pytest.raises(StoreError, match=r"is not accepted; give a folder, sqlite:///FILE.db or http") as caught:
        resolve(location)
    assert location in str(caught.value)


def test_reading_an_absent_store_says_so(tmp_path):
    with pytest.raises(StoreError, match=r"no store at .*mlflow.db is missing"):
        check(resolve(tmp_path / "none"), create=False)
    assert not (tmp_path / "none").exists()


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(StoreError, match="is not a folder"):
        check(resolve(tmp_path / "taken"), create=True)
    with pytest.raises(StoreError, match="is not a folder"):
        check(resolve(tmp_path / "taken" / "below"), create=True)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write")
def test_unwritable_folder_is_refused_in_two_seconds_without_mlflow():
    program = (
        "import sys, time; start = time.monotonic()\n"
        "from smlmbench.tracking.store import open_store\n"
        "try: open_store('/proc/smlmbench')\n"
        "except Exception as error: print(f'{type(error).__name__}: {error}')\n"
        "print('mlflow' in sys.modules, time.monotonic() - start < 2)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    said, seen = done.stdout.splitlines()
    assert said.startswith("StoreError: store /proc/smlmbench cannot be written (")
    assert seen == "False True"


def test_read_only_database(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(StoreError, match="is read-only"):
        check(resolve(tmp_path), create=True)


def test_a_database_that_is_none(tmp_path):
    (tmp_path / "mlflow.db").write_text("not a database, and long enough to be looked at" * 10)
    with pytest.raises(StoreError, match="is no MLflow database"):
        check(resolve(tmp_path), create=True)


def test_a_database_of_something_else(tmp_path):
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        connection.execute("create table birds (name text)")
    with pytest.raises(StoreError, match="holds no MLflow tables"):
        check(resolve(tmp_path), create=True)


class Web:
    """A web server that answers (code, body) as told, to those who send the header that it wants."""

    def __init__(self, context=None):
        self.code, self.body, self.wanted = 200, b"OK", None
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                let_in = told.wanted in (None, self.headers.get("Authorization"))
                self.send_response(told.code if let_in else 401)
                self.end_headers()
                self.wfile.write(told.body if let_in else b"who are you?")

            def log_message(self, *args):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.server.handle_error = lambda *_: None  # a client that breaks off
        self.place = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http{'' if context is None else 's'}://{self.place}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A server, and no login from outside."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_TRACKING_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    started = Web()
    yield started
    started.stop()


def test_a_healthy_server_passes(web, tmp_path):
    check(resolve(web.url, home=tmp_path), create=True)


@pytest.mark.parametrize(
    ("code", "body", "words"),
    [(200, b"hello", "is not an MLflow server"), (403, b"Invalid Host header", r"answers 403 \(Invalid Host header\)")],
)
def test_a_server_of_another_kind(web, tmp_path, code, body, words):
    web.code, web.body = code, body
    with pytest.raises(StoreError, match=words):
        check(resolve(web.url, home=tmp_path), create=True)


def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def test_a_login_in_the_environment_is_sent(web, tmp_path, monkeypatch):
    web.wanted = basic("ann", "hush-hush")
    with pytest.raises(StoreError, match=r"answers 401 \(who are you\?\) to /health; set MLFLOW_TRACKING_USERNAME and"):
        check(resolve(web.url, home=tmp_path), create=True)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hush-hush")
    check(resolve(web.url, home=tmp_path), create=True)
    web.wanted = "Bearer abc"
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    check(resolve(web.url, home=tmp_path), create=True)


def test_a_login_in_mlflows_file_is_sent(web, tmp_path):
    web.wanted = basic("ann", "hush-hush")
    (tmp_path / ".mlflow").mkdir()
    lines = ["[mlflow]", "mlflow_tracking_username = ann", "mlflow_tracking_password = hush-hush"]
    (tmp_path / ".mlflow" / "credentials").write_text("\n".join(lines))
    check(resolve(web.url, home=tmp_path), create=True)


def test_a_login_in_the_address_is_sent_and_not_shown(web, tmp_path):
    web.wanted = basic("ann", "hush-hush")
    where = resolve(f"http://ann:hush-hush@{web.place}/", home=tmp_path)
    check(where, create=True)
    web.code, web.body = 500, b"odd"
    with pytest.raises(StoreError) as caught:
        check(where, create=True)
    assert str(caught.value).startswith(f"http://ann:***@{web.place} answers 500 (odd) to /health; start it")
    assert "hush-hush" not in f"{where}{where!r}"


def certificate(folder, name="127.0.0.1"):
    """A certificate that signs itself, with its key, in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(called, called, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = folder / f"{name}.pem"
    path.write_bytes(text + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_mlflows_settings_of_certificates_are_honoured(web, tmp_path, monkeypatch):
    context, ours, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate(tmp_path), certificate(tmp_path, "ann")
    context.load_cert_chain(ours)
    secure = Web(context)
    try:
        where = resolve(secure.url, home=tmp_path)
        with pytest.raises(StoreError, match=r"no MLflow server answers .*[Cc]ertificate"):
            check(where, create=True)
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_INSECURE_TLS", "true")
            check(where, create=True)
        with monkeypatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "gone.pem"))
            with pytest.raises(StoreError, match=r"no MLflow server answers .*gone\.pem"):
                check(where, create=True)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(ours))
        check(where, create=True)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client)
        monkeypatch.setattr(secure, "body", b"OK")
        with pytest.raises(StoreError, match="no MLflow server answers"):
            check(resolve(secure.url, home=tmp_path), create=True)
        monkeypatch.setenv("MLFLOW_TRACKING_CLIENT_CERT_PATH", str(client))
        check(where, create=True)
    finally:
        secure.stop()


def test_a_server_that_is_down_is_noticed_in_seconds(tmp_path):
    start = time.monotonic()
    with pytest.raises(StoreError, match="no MLflow server answers at http://127.0.0.1:9"):
        check(resolve("http://127.0.0.1:9", home=tmp_path), create=True)
    assert time.monotonic() - start < 6


def test_two_parents_that_start_together_share_the_first_database(tmp_path):
    built, gate = [], threading.Barrier(2)

    def build(path):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table experiments (maker text)")
            connection.execute("insert into experiments values (?)", [threading.current_thread().name])
            connection.commit()
        built.append(path)
        gate.wait()

    target = tmp_path / "mlflow.db"
    makers = [threading.Thread(target=make_database, args=(target, build)) for _ in range(2)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(set(built)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    with closing(sqlite3.connect(target)) as connection:
        assert connection.execute("select count(*) from experiments").fetchone() == (1,)
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


def test_another_parent_was_faster_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError

    def windows(fresh, database):
        database.touch()
        raise FileExistsError(database)

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(Path, "rename", windows)
    make_database(tmp_path / "mlflow.db", lambda path: path.touch())
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_no_write_ahead_log_on_a_network_file_system(tmp_path, monkeypatch):
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert on_network(tmp_path / "deeper")
    assert not on_network(Path("/"))
    make_database(tmp_path / "mlflow.db", lambda path: path.touch())
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("delete",)


def test_paths_behind_addresses(tmp_path):
    odd = tmp_path / "50% of µm"
    assert local_path(odd.as_uri()) == odd
    assert local_path("/plain/path") == Path("/plain/path")
    assert local_path("mlflow-artifacts:/1/a/artifacts") is None
