"""
Encryption on both sides, and what of authentication depends on it: traps T1 to T7 and T20.

Against a server with TLS of its own, in pieces: who is encrypted, who verifies whom, how SCRAM
and certificates fare, and who is let in over the Unix socket.
"""

import os
import pwd
import shutil
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from sqlml.proxy.address import UpstreamAddress
from sqlml.proxy.limits import Limits
from sqlml.proxy.settings import ProxySettings
from sqlml.proxy.tls import (
    ClientEncryption,
    ClientTls,
    Identity,
    TlsStream,
    UpstreamEncryption,
    UpstreamTls,
)
from sqlml.server.account import find_server_account, give_to
from sqlml.server.binaries import find_binaries
from sqlml.wire.startup import RequestCode
from tests.proxy.certificates import Authority, make_authority
from tests.proxy.talk import (
    GSSENC_REQUEST,
    SSL_REQUEST,
    Talker,
    address,
    codes,
    errors,
    open_socket,
    startup,
)
from tests.stack import Stack, temporary_stack, wait_until

PASSWORD = "secret"
ME = pwd.getpwuid(os.geteuid()).pw_name
ROLES = f"""
SET password_encryption = 'scram-sha-256';
CREATE ROLE scram_u LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE tls_u LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE clear_u LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE cert_u LOGIN;
CREATE ROLE trust_u LOGIN;
CREATE ROLE "{ME}" LOGIN SUPERUSER;
SET password_encryption = 'md5';
CREATE ROLE md5_u LOGIN PASSWORD '{PASSWORD}';
"""
HBA = f"""\
local   all "{ME}"  peer
local   all trust_u trust
hostssl all cert_u  127.0.0.1/32 cert map=proxy
hostssl all tls_u   127.0.0.1/32 scram-sha-256
host    all tls_u   127.0.0.1/32 reject
host    all clear_u 127.0.0.1/32 password
host    all md5_u   127.0.0.1/32 md5
"""


@dataclass(frozen=True)
class Server:
    """A server with TLS, and the certificates of all that take part."""

    stack: Stack
    authority: Authority
    stranger: Authority
    own: Identity
    """The server's certificate; its name is 127.0.0.1."""
    proxy: Identity

    @property
    def upstream(self) -> UpstreamAddress:
        return UpstreamAddress(*address(self.stack.dsn))

    @property
    def local(self) -> UpstreamAddress:
        return UpstreamAddress(str(self.stack.folder.socket_dir), self.upstream.port)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    if not any(binaries.major == 15 for binaries in find_binaries()):
        pytest.skip("the other servers are built without TLS")
    folder = tmp_path_factory.mktemp("certificates")
    authority = make_authority(folder)
    own = authority.vouch_for("server")
    with temporary_stack("--postgres=15") as stack:
        cluster = stack.folder.cluster
        for source, name in (
            (own.certificate, "s.crt"),
            (own.key, "s.key"),
            (authority.file, "ca"),
        ):
            copy = Path(shutil.copyfile(source, cluster / name))
            copy.chmod(0o600)
            give_to(find_server_account(), copy)
        hba = cluster / "pg_hba.conf"
        hba.write_text(HBA + hba.read_text())
        (cluster / "pg_ident.conf").write_text("proxy proxy cert_u\n")
        with psycopg.connect(stack.dsn, autocommit=True) as connection:
            connection.execute(ROLES)
            for name, value in (("cert_file", "s.crt"), ("key_file", "s.key"), ("ca_file", "ca")):
                connection.execute(f"ALTER SYSTEM SET ssl_{name} = '{value}'")
            connection.execute("ALTER SYSTEM SET ssl = on")
            connection.execute("SELECT pg_reload_conf()")
        wait_until(lambda: _speaks_tls(stack.dsn))
        stranger = make_authority(folder, "stranger")
        yield Server(stack, authority, stranger, own, authority.vouch_for("proxy"))


def _speaks_tls(dsn):
    try:
        psycopg.connect(dsn, sslmode="require").close()
    except psycopg.OperationalError:
        return False
    return True


def for_clients(identity, mode=ClientEncryption.ALLOW, authorities=None, **rest):
    tls = ClientTls(mode=mode, identity=identity, authorities=authorities)
    return ProxySettings(client_tls=tls, **rest)


def to_server(mode, authorities=None, identity=None, **rest):
    tls = UpstreamTls(mode=UpstreamEncryption(mode), authorities=authorities, identity=identity)
    return ProxySettings(upstream_tls=tls, **rest)


def login(dsn, user="scram_u", **parameters):
    parameters = {"user": user, "password": PASSWORD, "autocommit": True, **parameters}
    return closing(psycopg.connect(dsn, **parameters))


def is_encrypted(connection):
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    [encrypted] = connection.execute(query).fetchone()
    return encrypted


def refusal(dsn, **parameters):
    """What a client that cannot log in is told, without its own words in front."""
    with pytest.raises(psycopg.OperationalError) as caught:
        login(dsn, **parameters)
    return str(caught.value)


# Towards the client


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_a_client_is_encrypted(server, proxy_of, negotiation):
    target = proxy_of(server.upstream, for_clients(server.proxy))
    verified = {"sslmode": "verify-full", "sslrootcert": str(server.authority.file)}
    with login(target, sslnegotiation=negotiation, **verified) as connection:
        assert connection.pgconn.ssl_in_use
        assert not is_encrypted(connection)
        assert connection.execute("SHOW MODELS").fetchall() == []
    # Nobody has to.
    with login(target, sslmode="disable") as connection:
        assert not connection.pgconn.ssl_in_use


def test_much_goes_through_tls_in_both_directions(server, proxy_of):
    settings = for_clients(server.proxy, upstream_tls=UpstreamTls(mode=UpstreamEncryption.REQUIRE))
    target = proxy_of(server.upstream, settings)
    with login(target, sslmode="require", channel_binding="disable") as connection:
        text = "".join(chr(33 + number % 90) for number in range(5_000_000))
        assert connection.execute("SELECT %s::text", (text,)).fetchone() == (text,)
        assert connection.execute("SELECT repeat('x', 20000000)").fetchone() == ("x" * 20_000_000,)


def test_a_client_that_insists_on_tls_is_declined_without_a_certificate(server, proxy_of):
    message = refusal(proxy_of(server.upstream), sslmode="require")
    assert "server does not support SSL" in message


def test_a_client_without_tls_is_refused_where_it_must(server, proxy_of):
    target = proxy_of(server.upstream, for_clients(server.proxy, ClientEncryption.REQUIRE))
    with open_socket(target) as talker:
        talker.send(startup(user="scram_u", database="sqlml"))
        answer = talker.read()
        assert codes(answer) == "E[28000]"
        assert "sslmode=require" in errors(answer)[0]["H"]
    # libpq's old way to cancel is not encrypted, whatever its session is.
    with open_socket(target) as talker:
        talker.send(struct.pack("!iiii", 16, RequestCode.CANCEL, 1, 2))
        assert talker.read() == []


def test_cancelling_inside_tls(server, proxy_of):
    target = proxy_of(server.upstream, for_clients(server.proxy, ClientEncryption.REQUIRE))
    with login(target, sslmode="require") as connection:
        timer = threading.Timer(0.3, connection.cancel_safe)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("SELECT pg_sleep(20)")
        timer.join()


def test_all_requests_in_a_row(server, proxy_of):
    target = proxy_of(server.upstream, for_clients(server.proxy))
    with open_socket(target) as talker:
        talker.send(GSSENC_REQUEST)
        assert talker.socket.recv(1) == b"N"
        talker.send(SSL_REQUEST)
        assert talker.socket.recv(1) == b"S"
        with wrap(talker.socket, server.authority) as encrypted:
            encrypted.sendall(startup(user="scram_u", database="sqlml"))
            assert encrypted.recv(1) == b"R"


@pytest.mark.parametrize("request_", [SSL_REQUEST, GSSENC_REQUEST])
def test_a_request_inside_tls_is_refused(server, proxy_of, request_):
    with open_socket(proxy_of(server.upstream, for_clients(server.proxy))) as talker:
        talker.send(SSL_REQUEST)
        assert talker.socket.recv(1) == b"S"
        with wrap(talker.socket, server.authority) as encrypted:
            encrypted.sendall(request_)
            assert codes(Talker(encrypted).read()) == "E[08P01]"


def test_plain_bytes_behind_the_request_are_refused(server, proxy_of):
    with open_socket(proxy_of(server.upstream, for_clients(server.proxy))) as talker:
        talker.send(SSL_REQUEST + startup(user="scram_u", database="sqlml"))
        assert codes(talker.read()) == "E[08P01]"


@pytest.mark.parametrize(("protocols", "answer"), [([], "E[08P01]"), (["postgresql"], "R")])
def test_direct_tls_names_its_protocol(server, proxy_of, protocols, answer):
    target = proxy_of(server.upstream, for_clients(server.proxy))
    with (
        open_socket(target) as talker,
        wrap(talker.socket, server.authority, protocols) as encrypted,
    ):
        encrypted.sendall(startup(user="scram_u", database="sqlml"))
        assert codes([Talker(encrypted).read_message()]) == answer


def test_direct_tls_may_come_byte_by_byte(server, proxy_of):
    context = ssl.create_default_context(cafile=server.authority.file)
    context.set_alpn_protocols(["postgresql"])
    tls = TlsStream(context, is_server=False, server_name="127.0.0.1")
    with open_socket(proxy_of(server.upstream, for_clients(server.proxy))) as talker:
        talker.send(tls.start(), piece_size=1)
        while not tls.is_ready:
            tls.receive(talker.socket.recv(100))
        talker.send(tls.take() + tls.send(startup(user="scram_u", database="sqlml")), piece_size=1)
        assert tls.receive(talker.socket.recv(4096)).startswith(b"R")


def test_tls_before_1_2_is_refused(server, proxy_of):
    with open_socket(proxy_of(server.upstream, for_clients(server.proxy))) as talker:
        talker.send(SSL_REQUEST)
        assert talker.socket.recv(1) == b"S"
        context = ssl.create_default_context(cafile=server.authority.file)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            context.wrap_socket(talker.socket, server_hostname="127.0.0.1")


@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02\x00", SSL_REQUEST])
def test_a_handshake_that_stops_is_ended(server, proxy_of, first):
    settings = for_clients(server.proxy, limits=Limits(start_s=0.3))
    with open_socket(proxy_of(server.upstream, settings)) as talker:
        if first:
            talker.send(first)
        assert talker.socket.recv(1) == (b"S" if first == SSL_REQUEST else b"")
        if first == SSL_REQUEST:
            assert talker.socket.recv(1) == b""


def test_a_handshake_of_garbage_is_ended_with_an_alert(server, proxy_of):
    with open_socket(proxy_of(server.upstream, for_clients(server.proxy))) as talker:
        talker.send(b"\x16\x03\x01\x00\x05hello")
        assert talker.socket.recv(1) == b"\x15"


@pytest.mark.parametrize("is_known", [True, False])
def test_a_client_s_certificate_is_verified(server, proxy_of, is_known):
    settings = for_clients(server.proxy, authorities=server.authority.file)
    shown = (server.authority if is_known else server.stranger).vouch_for("somebody")
    files = {"sslcert": str(shown.certificate), "sslkey": str(shown.key)}
    target = proxy_of(server.upstream, settings)
    if is_known:
        with login(target, sslmode="require", **files) as connection:
            assert connection.pgconn.ssl_in_use
    else:
        assert "unknown ca" in refusal(target, sslmode="require", **files)


# Towards the server


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_the_server_is_spoken_to_in_tls(server, proxy_of, mode):
    target = proxy_of(server.upstream, to_server(mode, server.authority.file))
    # This client has no TLS, so it must not be offered channel binding.
    with login(target) as connection:
        assert is_encrypted(connection)
    with login(target, user="tls_u") as connection:
        assert connection.execute("SHOW MODELS").fetchall() == []


def test_a_role_that_needs_tls_is_refused_without(server, proxy_of):
    assert "no encryption" in refusal(proxy_of(server.upstream), user="tls_u")


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_a_server_without_tls(dsn, proxy_of, mode):
    target = proxy_of(UpstreamAddress(*address(dsn)), to_server(mode))
    with open_socket(target) as talker:
        talker.send(startup(user="postgres", database="sqlml"))
        message = talker.read_message()
        if mode == "prefer":
            assert message[0] == "R"
        else:
            assert codes([message]) == "E[08006]"
            assert "does not speak TLS" in errors([message])[0]["M"]


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_server_of_a_stranger_is_not_trusted(server, proxy_of, mode):
    target = proxy_of(server.upstream, to_server(mode, server.stranger.file))
    assert "does not trust the PostgreSQL server" in refusal(target)


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_only_verify_full_compares_the_name(server, proxy_of, mode):
    named_otherwise = UpstreamAddress("localhost", server.upstream.port)
    target = proxy_of(named_otherwise, to_server(mode, server.authority.file))
    if mode == "verify-ca":
        with login(target) as connection:
            assert is_encrypted(connection)
    else:
        assert "Hostname mismatch" in refusal(target)


def test_a_server_that_speaks_before_the_handshake(proxy_of):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(8)
                connection.sendall(b"S" + b"R\0\0\0\x08\0\0\0\0")
                connection.recv(4096)

        thread = threading.Thread(target=answer)
        thread.start()
        target = proxy_of(UpstreamAddress(*listener.getsockname()), to_server("require"))
        with open_socket(target) as talker:
            talker.send(startup(user="postgres", database="sqlml"))
            assert codes(talker.read()) == "E[08006]"
        thread.join(10)


@pytest.mark.parametrize("answer", [b"", b"x", b"E\0\0\0\x05\0"])
def test_a_server_that_does_not_answer_the_request(proxy_of, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak():
            connection, _ = listener.accept()
            with connection:
                connection.recv(8)
                connection.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        target = proxy_of(UpstreamAddress(*listener.getsockname()), to_server("prefer"))
        with open_socket(target) as talker:
            talker.send(startup(user="postgres", database="sqlml"))
            assert codes(talker.read()) == "E[08006]"
        thread.join(10)


# Authentication


@pytest.mark.parametrize("user", ["scram_u", "md5_u", "clear_u"])
@pytest.mark.parametrize("is_client_encrypted", [False, True])
@pytest.mark.parametrize("mode", ["disable", "require"])
def test_passwords_pass(server, proxy_of, user, is_client_encrypted, mode):
    settings = for_clients(server.proxy, upstream_tls=UpstreamTls(mode=UpstreamEncryption(mode)))
    target = proxy_of(server.upstream, settings)
    sslmode = "require" if is_client_encrypted else "disable"
    parameters = {"user": user, "sslmode": sslmode, "channel_binding": "disable"}
    with login(target, **parameters) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (user,)
    # The server's own words.
    told = refusal(target, **{**parameters, "password": "wrong"})
    assert f'password authentication failed for user "{user}"' in told


@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_channel_binding_with_the_server_s_own_certificate(server, proxy_of, binding):
    settings = for_clients(server.own, upstream_tls=UpstreamTls(mode=UpstreamEncryption.REQUIRE))
    target = proxy_of(server.upstream, settings)
    with login(target, sslmode="require", channel_binding=binding) as connection:
        assert is_encrypted(connection)


@pytest.mark.parametrize("binding", ["prefer", "require"])
def test_channel_binding_with_another_certificate_is_told(server, proxy_of, binding):
    settings = for_clients(server.proxy, upstream_tls=UpstreamTls(mode=UpstreamEncryption.REQUIRE))
    told = refusal(proxy_of(server.upstream, settings), sslmode="require", channel_binding=binding)
    assert "SCRAM channel binding does not reach through this proxy" in told
    assert "channel_binding=disable" in told


def test_channel_binding_without_tls_to_the_server(server, proxy_of):
    target = proxy_of(server.upstream, for_clients(server.proxy))
    with login(target, sslmode="require", channel_binding="prefer") as connection:
        assert connection.pgconn.ssl_in_use
    told = refusal(target, sslmode="require", channel_binding="require")
    assert "channel binding is required" in told


def test_a_client_s_certificate_speaks_for_its_own_name(server, proxy_of):
    settings = for_clients(
        server.proxy,
        authorities=server.authority.file,
        upstream_tls=UpstreamTls(mode=UpstreamEncryption.REQUIRE, identity=server.proxy),
    )
    target = proxy_of(server.upstream, settings)
    shown = server.authority.vouch_for("cert_u")
    files = {"sslcert": str(shown.certificate), "sslkey": str(shown.key)}
    with login(target, user="cert_u", sslmode="require", **files) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("cert_u",)
    # The server knows the proxy's certificate; that is no reason to let in who has none,
    # or another one.
    without = "the server lets this role in without a password because the proxy asks"
    assert without in refusal(target, user="cert_u", sslmode="require")
    other = server.authority.vouch_for("scram_u")
    files = {"sslcert": str(other.certificate), "sslkey": str(other.key)}
    assert without in refusal(target, user="cert_u", sslmode="require", **files)


# The Unix socket


@pytest.mark.parametrize("role", [ME, "trust_u"])
@pytest.mark.parametrize("trusts", [False, True])
def test_the_proxy_s_account_lets_nobody_in(server, proxy_of, role, trusts):
    target = proxy_of(server.local, ProxySettings(trusts_socket=trusts))
    if trusts:
        with login(target, user=role) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (role,)
        return
    with open_socket(target) as talker:
        talker.send(startup(user=role, database="sqlml"))
        answer = talker.read()
        assert codes(answer) == "E[28000]"
        assert "--trust-socket" in errors(answer)[0]["H"]
        assert talker.read_message() is None


def test_passwords_pass_over_the_unix_socket(server, proxy_of):
    target = proxy_of(server.local)
    with login(target) as connection:
        assert connection.execute("SHOW MODELS").fetchall() == []
    assert "password authentication failed" in refusal(target, password="wrong")


@pytest.mark.parametrize("version", [0x00020000, 0x00040000])
def test_what_cannot_be_watched_does_not_pass_to_the_unix_socket(server, proxy_of, version):
    with open_socket(proxy_of(server.local)) as talker:
        talker.send(startup(version, user=ME, database="sqlml"))
        assert codes(talker.read()) == "E[0A000]"


def wrap(sock, authority, protocols=()):
    context = ssl.create_default_context(cafile=authority.file)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context.wrap_socket(sock, server_hostname="127.0.0.1")
