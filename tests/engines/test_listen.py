"""Beyond loopback, with TLS: programs need a token, control routes are not there, and all of it survives a kill."""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import ssl
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from homes import add_version, infer_body, wait_for, workspace_at

from prodml_magics.actions.deploy import deploy
from prodml_magics.actions.services import Services
from prodml_magics.actions.token import token
from prodml_magics.actions.up import down, up
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import Conflict, GateRefused, InvalidInput, UsageError
from prodml_magics.serving.rpc import messages as m
from prodml_magics.wire.requests import Deploy, Down, Token, Up

HOST = "127.0.0.2"
"""This machine too, but not the loopback address of control routes: the gateway takes it for one that others reach."""


def certificate(folder: Path) -> tuple[str, str]:
    """A certificate for `HOST` that is signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return str(paths[0]), str(paths[1])


def secret(workspace: Workspace, name: str, *scopes: str) -> str:
    record = token(workspace, Token(name=name, scope=scopes)).record
    return Path(record.secret_file or "").read_text().strip()


def test_a_gateway_that_others_reach_speaks_tls_asks_for_tokens_and_has_no_control_routes(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / ".prodml")
    placed = add_version(workspace, 1)
    cert, key = certificate(tmp_path)
    asked = Up(host=HOST, tls_cert=cert, tls_key=key)
    with pytest.raises(GateRefused, match="prodml token NAME --scope predict"):
        up(workspace, asked)
    given = {"Authorization": f"Bearer {secret(workspace, 'shop', 'predict')}"}
    admin = {"Authorization": f"Bearer {secret(workspace, 'op', 'admin')}"}
    services = Services(workspace)
    try:
        url = up(workspace, asked).record.url or ""
        assert url.startswith(f"https://{HOST}:")
        live = deploy(workspace, Deploy(model="cancer@1")).record.url or ""
        with httpx.Client(verify=ssl.create_default_context(cafile=cert)) as client:
            answer = client.post(live + "/infer", json=infer_body(placed.rows[:3]), headers=given)
            assert answer.json()["outputs"][0]["data"] == placed.model.predict(placed.rows[:3]).tolist()
            assert client.post(live + "/infer", json=infer_body(placed.rows[:3])).status_code == 401
            for path in ("/admin/status", "/v2/repository/models/cancer/unload"):
                assert client.request("GET" if "admin" in path else "POST", url + path, headers=admin).status_code == 404
            with pytest.raises(httpx.ConnectError, match="certificate"):
                httpx.get(url + "/v2")
            with pytest.raises(httpx.RemoteProtocolError):
                httpx.get(url.replace("https", "http") + "/v2")
            _over_grpc(services, Path(cert).read_bytes(), given["Authorization"], placed.rows)
            (worker,) = services.runtime().gateway.workers  # type: ignore[union-attr]
            assert worker.url.startswith("http://127.0.0.1:")
            os.kill(worker.pid or 0, signal.SIGKILL)
            wait_for(lambda: _status(client, live + "/ready", given) == 200)
            token(workspace, Token(name="shop", renew=True, grace="0"))
            assert client.get(live, headers=given).status_code == 401, "every worker knew before the action returned"
            with pytest.raises(Conflict, match="run `prodml down` first"):
                up(workspace, Up(host="127.0.0.1"))
        down(workspace, Down())
        secret(workspace, "again", "predict")
        assert (up(workspace, Up()).record.url or "").startswith(f"https://{HOST}:"), "as the last time"
        down(workspace, Down())
        assert (up(workspace, Up(host="localhost", tls_cert="none")).record.url or "").startswith("http://127.0.0.1:")
    finally:
        down(workspace, Down())
        workspace.ledger.close()


def _status(client: httpx.Client, url: str, headers: dict[str, str]) -> int:
    try:
        return client.get(url, headers=headers).status_code
    except httpx.TransportError:
        return 0


def _over_grpc(services: Services, certificate: bytes, bearer: str, rows) -> None:
    address = services.runtime().gateway.grpc  # type: ignore[union-attr]
    request = m.ModelInferRequest(model_name="cancer", raw_input_contents=[rows[:1].astype("<f4").tobytes()])
    request.inputs.add(name="input", datatype="FP32", shape=rows[:1].shape)
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate)) as channel:
        method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        answer = method(request.SerializeToString(), metadata=[("authorization", bearer)], timeout=10)
    assert m.ModelInferResponse.FromString(answer).model_version == "1"


@pytest.mark.parametrize(
    ("flags", "error", "said"),
    [
        ({"host": "example"}, InvalidInput, "'example' is no address"),
        ({"tls_cert": "here.pem"}, UsageError, "takes both"),
        ({"tls_cert": "none", "tls_key": "k"}, UsageError, "takes no --tls-key"),
        ({"tls_cert": "nowhere.pem", "tls_key": "nowhere.pem"}, InvalidInput, "No such file"),
    ],
)
def test_what_cannot_be_listened_on_is_one_line_and_starts_nothing(tmp_path: Path, flags, error, said) -> None:
    workspace = workspace_at(tmp_path / ".prodml")
    with pytest.raises(error, match=said):
        up(workspace, Up(**flags))
    assert not (tmp_path / ".prodml").exists()


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    cert, _ = certificate(tmp_path)
    _, other = certificate(tmp_path / "other")
    with pytest.raises(InvalidInput, match="no certificate with its key"):
        up(workspace_at(tmp_path / ".prodml"), Up(tls_cert=cert, tls_key=other))


def test_an_address_that_this_machine_does_not_have_is_said(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path / ".prodml")
    secret(workspace, "shop", "predict")
    with pytest.raises(Exception, match="cannot listen"):
        up(workspace, Up(host="192.0.2.1"))
