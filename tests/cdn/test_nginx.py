"""What an operator adds to the deployed nginx: TLS with HTTP/2, and the networks of a CDN."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import trustme
from cdn_servers import CountedService, Nginx, Upload
from launch import free_port

DATA, HEADERS, SETTINGS = 0, 1, 4
END_HEADERS, END_STREAM = 4, 1


def passes(nginx: Nginx) -> bool:
    """Whether ``nginx -t`` accepts the file, without a warning."""
    command = [*nginx.command[: nginx.command.index("-g")], "-t"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0 and "[warn]" not in done.stderr


def test_file_is_valid_as_it_is(folder: Path, origin: CountedService) -> None:
    assert passes(Nginx(folder, [origin]))


@pytest.fixture
def tls(folder: Path, origin: CountedService) -> Iterator[tuple[int, ssl.SSLContext]]:
    """Port of a server with the lines for TLS, and the context of a client that trusts it."""
    authority, port = trustme.CA(), free_port()
    certificate = authority.issue_cert("127.0.0.1")
    key = folder / "privkey.pem"
    certificate.private_key_pem.write_to_path(key)
    chain = folder / "fullchain.pem"
    chain.write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    changes = {
        "#: ": "",
        "listen 8443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/nginx/tls/": f"{folder}/",
    }
    nginx = Nginx(folder, [origin], changes)
    assert passes(nginx)
    nginx.start()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    yield port, context
    nginx.stop()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


def get_by_http2(port: int, context: ssl.SSLContext, path: str) -> tuple[bytes, bytes]:
    """The compressed header fields and the body of one GET over HTTP/2 (RFC 9113, RFC 7541)."""
    context.set_alpn_protocols(["h2"])
    authority = f"127.0.0.1:{port}".encode()
    fields = b"\x82\x87"  # :method GET, :scheme https
    fields += b"\x04" + bytes([len(path)]) + path.encode()
    fields += b"\x01" + bytes([len(authority)]) + authority
    head, body = b"", b""
    with (
        closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as plain,
        closing(context.wrap_socket(plain, server_hostname="127.0.0.1")) as connection,
        connection.makefile("rb") as answers,
    ):
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
        connection.sendall(frame(HEADERS, END_HEADERS | END_STREAM, 1, fields))
        while True:
            start = answers.read(9)
            payload = answers.read(int.from_bytes(start[:3], "big"))
            if start[3] == HEADERS:
                head += payload
            elif start[3] == DATA:
                body += payload
            if start[3] in (HEADERS, DATA) and start[4] & END_STREAM:
                return head, body


def test_tls_and_http2(
    tls: tuple[int, ssl.SSLContext], origin: CountedService, upload: Upload
) -> None:
    port, context = tls
    key = upload(origin.url)
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=context) as client:
        plain = client.get(f"/t/{key}/32")
        assert plain.status_code == 200
        assert plain.headers["Strict-Transport-Security"] == "max-age=63072000"
    head, body = get_by_http2(port, context, f"/t/{key}/32")
    assert head[:1] == b"\x88"  # :status 200
    assert body == plain.content


@pytest.mark.parametrize("listed", [True, False])
def test_visitors_of_a_listed_cdn_are_clients_of_their_own(
    listed: bool, folder: Path, origin: CountedService
) -> None:
    if listed:
        (folder / "cdn-networks.conf").write_text("set_real_ip_from 198.51.100.0/24;\n")
    nginx = Nginx(folder, [origin])
    assert passes(nginx)
    nginx.start()
    chain = "203.0.113.7, 198.51.100.20"  # a visitor, then the CDN, as nginx's own proxy writes it
    httpx.get(f"{nginx.url}/healthz", headers={"X-Forwarded-For": chain})
    nginx.stop()
    assert f'{"203.0.113.7" if listed else "198.51.100.20"} "GET /healthz' in nginx.output()
