"""The gRPC interface: compiled from its source, and the one that clients know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

import prodml_magics.serving.rpc as rpc

FOLDER = Path(rpc.__file__).parent


def _ours() -> Any:
    (file,) = descriptor_pb2.FileDescriptorSet.FromString((FOLDER / "inference.binpb").read_bytes()).file
    return file


def test_the_compiled_interface_is_that_of_the_source(tmp_path: Path) -> None:
    compiled = tmp_path / "inference.binpb"
    line = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(FOLDER), f"--descriptor_set_out={compiled}", "inference.proto"]
    subprocess.run(line, check=True)
    (file,) = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file
    assert file == _ours(), "run `make proto`"


def _fields(messages: Any, prefix: str = "") -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for message in messages:
        name = f"{prefix}{message.name}"
        found |= {f"{name}.{each.name}": (each.number, each.type, each.type_name, each.label) for each in message.field}
        found |= _fields(message.nested_type, f"{name}.")
    return found


def test_every_name_number_and_type_is_that_of_tritons_client() -> None:
    theirs: dict[str, tuple[Any, ...]] = {}
    for module in (service_pb2, model_config_pb2):
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        theirs |= _fields(file.message_type)
        theirs |= {f"{enum.name}.{value.name}": (value.number,) for enum in file.enum_type for value in enum.value}
        for service in file.service:
            theirs |= {m.name: (m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in service.method}
    ours = _fields(_ours().message_type)
    ours |= {f"{enum.name}.{value.name}": (value.number,) for enum in _ours().enum_type for value in enum.value}
    (service,) = _ours().service
    ours |= {m.name: (m.input_type, m.output_type, m.client_streaming, m.server_streaming) for m in service.method}
    assert len(ours) > 100
    assert {name: theirs.get(name) for name in ours} == ours
    assert f"{_ours().package}.{service.name}" == "inference.GRPCInferenceService"
