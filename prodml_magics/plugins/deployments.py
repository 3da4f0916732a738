"""The target ``prodml`` of `mlflow.deployments`: deploy what MLflow has registered to the gateway of this home, and ask it.

    from mlflow.deployments import get_deploy_client

    client = get_deploy_client("prodml")
    client.create_deployment("cancer", "models:/cancer/2")
    client.predict("cancer", frame)

A deployment is the route of one model, by the model's name. MLflow wants exactly one client class in this module.
"""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import numpy as np
from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException

from prodml_magics.actions import grammar, verbs
from prodml_magics.actions.services import Services
from prodml_magics.actions.workspace import Workspace
from prodml_magics.errors import InvalidInput, NotFound, ProdmlError, Unavailable
from prodml_magics.plugins.payloads import payload_of
from prodml_magics.wire.names import check_name
from prodml_magics.wire.requests import Deploy, Undeploy

__all__ = ["ProdmlDeploymentClient", "run_local", "target_help"]

_DOOR = "mlflow"
_TIMEOUT_S = 60.0
_CODES = {NotFound: "RESOURCE_DOES_NOT_EXIST", Unavailable: "TEMPORARILY_UNAVAILABLE"}


def target_help() -> str:
    """What ``mlflow deployments help -t prodml`` prints."""
    flags = [field for field in grammar.fields_of(Deploy, _DOOR) if not field.positional]
    lines = [f"  {field.name:<15} {field.help}" for field in flags]
    return "\n".join(
        [
            "Deploys versions that prodml-magics registered to its gateway, which is started where it does not run.",
            "The target is prodml: the home is PRODML_HOME, else the nearest .prodml upwards from the working directory.",
            "A deployment has the name of the model; the model URI is models:/NAME/VERSION or models:/NAME@ALIAS.",
            "",
            "Config options (-C name=value) are the flags of %deploy:",
            *lines,
        ]
    )


def run_local(target: str, name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, Any] | None = None) -> None:
    """The gateway runs on this machine anyway: the same as creating the deployment."""
    ProdmlDeploymentClient(target).create_deployment(name, model_uri, flavor, config)


class ProdmlDeploymentClient(BaseDeploymentClient):
    """MLflow's client of the gateway; each call opens the home anew and raises `MlflowException` in one line."""

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Make a version live; refused where the model is live already."""
        with _Home(endpoint) as workspace:
            live = workspace.route(check_name(name)).live
            if live is not None:
                raise MlflowException(
                    f"{name} is deployed already, version {live}; use update_deployment", error_code="RESOURCE_ALREADY_EXISTS"
                )
            return self._deploy(workspace, name, model_uri, flavor, config)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Switch to another version, by a ladder with ``canary`` in `config`; without a URI the settings of the live one change."""
        with _Home(endpoint) as workspace:
            live = workspace.live(name)
            return self._deploy(workspace, name, model_uri or f"models:/{name}/{live}", flavor, config)

    def delete_deployment(self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None) -> None:
        """Answer no more requests for the model; one that is not deployed is left as it is."""
        with _Home(endpoint) as workspace:
            if workspace.route(check_name(name)).live is not None:
                verbs.run(workspace, Undeploy(model=name, why=str((config or {}).get("why", ""))))

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Every model that is live."""
        with _Home(endpoint) as workspace:
            return [_described(workspace, model) for model in _models(workspace) if workspace.route(model).live is not None]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """One of them; raises where there is none."""
        with _Home(endpoint) as workspace:
            workspace.live(check_name(name))
            return _described(workspace, name)

    def predict(self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None) -> PredictionsResponse:
        """Ask the gateway: a frame, an array [rows, columns], or a mapping of tensor names to arrays; the answer is MLflow's."""
        with _Home(endpoint) as workspace:
            live = [model for model in _models(workspace) if workspace.route(model).live is not None]
            if deployment_name is None and len(live) != 1:
                raise InvalidInput(f"several models or none are deployed ({', '.join(live) or 'none'}); name one")
            name = deployment_name or live[0]
            workspace.live(check_name(name))
            url = Services(workspace).url()
            if url is None:
                raise Unavailable("the gateway is not running; start it with `prodml up`")
            contract = workspace.contract(name, workspace.live(name))
            return PredictionsResponse.from_json(_asked(url, name, payload_of(contract, inputs)))

    def explain(self, deployment_name: str | None = None, df: Any = None, endpoint: str | None = None) -> Any:
        """The gateway explains no single answers."""
        raise MlflowException("the prodml target explains no single predictions; see the importance of %register")

    def _deploy(
        self, workspace: Workspace, name: str, uri: str, flavor: str | None, config: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        if flavor not in (None, "onnx", "python_function"):
            raise InvalidInput(f"flavor {flavor!r} is not served; leave it out")
        request = grammar.build(Deploy, {"model": _reference(name, uri), **_settings(config or {})})
        verbs.run(workspace, request)
        return {**_described(workspace, name), "flavor": "onnx"}


class _Home:
    """The home that the working directory means; errors of ours leave as MLflow's."""

    def __init__(self, endpoint: str | None) -> None:
        self._endpoint = endpoint

    def __enter__(self) -> Workspace:
        if self._endpoint is not None:
            raise MlflowException("the prodml target has no endpoints beside its one gateway; leave --endpoint out")
        self._open = Workspace.open(door=_DOOR)
        return self._open

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._open.close()
        if isinstance(error, ProdmlError):
            code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "INVALID_PARAMETER_VALUE")
            raise MlflowException(str(error), error_code=code) from error


def _reference(name: str, uri: str) -> str:
    """``NAME@VERSION`` of a ``models:/`` URI of that model."""
    prefix, _, rest = uri.partition("models:/")
    model, at, alias = rest.partition("@")
    if not at:
        model, _, alias = rest.partition("/")
    if prefix or not rest or unquote(model) != name or not alias:
        raise InvalidInput(f"{uri!r} is no version of {name}; write models:/{name}/2 or models:/{name}@candidate")
    return f"{name}@{alias}"


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Config options, which the command line gives as text, as the flags of ``deploy``."""
    fields = {field.name: field for field in grammar.fields_of(Deploy, _DOOR) if not field.positional}
    found = {}
    for key, value in config.items():
        field = fields.get(key.replace("-", "_"))
        if field is None:
            raise InvalidInput(f"there is no config option {key!r}; there are {', '.join(fields)}")
        found[field.name] = _typed(field, value) if isinstance(value, str) else value
    return found


def _typed(field: grammar.Field, text: str) -> Any:
    if field.kind is bool:
        return text.lower() in ("1", "true", "yes")
    if field.many:
        return tuple(text.split(","))
    try:
        return field.kind(text)
    except ValueError as error:
        raise InvalidInput(f"config option {field.name} is {text!r}; give a {field.kind.__name__}") from error


def _models(workspace: Workspace) -> list[str]:
    return sorted({event.model for event in workspace.ledger.events()}) if workspace.has_ledger() else []


def _described(workspace: Workspace, name: str) -> dict[str, Any]:
    route, url = workspace.route(name), Services(workspace).url()
    return {
        "name": name,
        "version": route.live,
        "model_uri": f"models:/{name}/{route.live}",
        "previous": route.previous,
        "canary": route.canary.version if route.canary else None,
        "url": f"{url}/v2/models/{name}" if url else None,
    }


def _asked(url: str, name: str, payload: Mapping[str, Any]) -> str:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S)
    try:
        body = msgspec.json.encode(payload, enc_hook=_plain)
        connection.request("POST", f"/models/{name}/invocations", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{url} does not answer ({error}); start the services with `prodml up`") from error
    finally:
        connection.close()
    if response.status != 200:
        raise InvalidInput(_said(answer))
    return answer


def _said(answer: str) -> str:
    try:
        return str(msgspec.json.decode(answer)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return answer[:200]


def _plain(value: Any) -> Any:
    """numpy's numbers, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise InvalidInput(f"a value of {type(value).__name__} cannot be sent; send numbers and text")
