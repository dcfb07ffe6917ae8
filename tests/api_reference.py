"""The reference of the calls, written from the protos: `python -m tests.api_reference` rewrites the page."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import google.rpc.status_pb2
from atelier.types.v1 import access_pb2
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api_reference.md"
INTRODUCTION = """# API reference

Written by `make api` from the comments in [protos/](../protos/atelier); change them there.

Every service also answers `grpc.health.v1` and server reflection. Errors are `google.rpc.Status` with
details; an item of a batch that fails carries a status of its own while the others are answered. A call
without a deadline gets 60 s. A method's scope is what a caller's token must allow where tokens are on
([security](security.md)). Bounds are settings ([settings](settings.md)); `GetLimits` returns those in force.
"""
# Numbers of the fields in descriptor.proto, from which the paths of comments are made.
_MESSAGES, _ENUMS, _SERVICES, _MEMBERS = 4, 5, 6, 2

Address = tuple[int, ...]
Comments = dict[Address, str]


def read_protos() -> list[FileDescriptorProto]:
    """The files under protos/ with their comments. Raises CalledProcessError: if protoc refuses one."""
    protos = sorted((ROOT / "protos").rglob("*.proto"))
    google_protos = Path(google.rpc.status_pb2.__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "protos.binpb"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "grpc_tools.protoc",
                "--include_source_info",
                "-o",
                str(image),
                "-I",
                str(ROOT / "protos"),
                "-I",
                str(google_protos),
                *map(str, protos),
            ],
            check=True,
            timeout=60,
        )
        return list(FileDescriptorSet.FromString(image.read_bytes()).file)


def write_reference(files: Sequence[FileDescriptorProto]) -> str:
    """The whole page: services first, then the messages that they share."""
    ordered = sorted(files, key=lambda file: (not file.service, file.name))
    return "\n".join((INTRODUCTION, *(line for file in ordered for line in _file(file)))).rstrip() + "\n"


def _file(file: FileDescriptorProto) -> Iterator[str]:
    comments: Comments = {
        tuple(location.path): _text(location.leading_comments or location.trailing_comments)
        for location in file.source_code_info.location
    }
    if not (file.service or file.message_type or file.enum_type):
        return
    yield f"## {file.name.removeprefix('atelier/')}\n"
    for number, service in enumerate(file.service):
        yield from _service(service, file.package, comments, (_SERVICES, number))
    for number, message in enumerate(file.message_type):
        yield from _message(message, comments, (_MESSAGES, number))
    for number, enum in enumerate(file.enum_type):
        yield from _enum(enum, comments, (_ENUMS, number))


def _service(
    service: ServiceDescriptorProto, package: str, comments: Comments, path: Address
) -> Iterator[str]:
    yield f"### {service.name}\n\n`{package}.{service.name}`. {comments.get(path, '')}\n"
    yield "| method | request | response | scope | |\n|---|---|---|---|---|"
    for number, method in enumerate(service.method):
        stream = ("stream " if method.client_streaming else "", "stream " if method.server_streaming else "")
        scope = access_pb2.Scope.Name(method.options.Extensions[access_pb2.scope])  # type: ignore[index]
        yield _row(
            method.name,
            stream[0] + _short(method.input_type),
            stream[1] + _short(method.output_type),
            scope.removeprefix("SCOPE_").lower(),
            comments.get((*path, _MEMBERS, number), ""),
        )
    yield ""


def _message(message: DescriptorProto, comments: Comments, path: Address) -> Iterator[str]:
    yield f"### {message.name}\n"
    if comments.get(path):
        yield comments[path] + "\n"
    if message.field:
        yield "| field | type | |\n|---|---|---|"
        for number, field in enumerate(message.field):
            yield _row(field.name, _type(field, message), comments.get((*path, _MEMBERS, number), ""))
        yield ""


def _enum(enum: EnumDescriptorProto, comments: Comments, path: Address) -> Iterator[str]:
    yield f"### {enum.name}\n"
    if comments.get(path):
        yield comments[path] + "\n"
    yield "| value | number | |\n|---|---|---|"
    for number, value in enumerate(enum.value):
        yield _row(value.name, str(value.number), comments.get((*path, _MEMBERS, number), ""))
    yield ""


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _type(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    scalar = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = _short(field.type_name) if field.type_name else scalar
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            return f"map of {' to '.join(_type(member, nested) for member in nested.field)}"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    if field.proto3_optional:
        return f"optional {name}"
    if field.HasField("oneof_index"):
        return f"{name}, one of *{message.oneof_decl[field.oneof_index].name}*"
    return name


def _short(name: str) -> str:
    return name.rpartition(".")[2] if name.startswith(".atelier.") else name.lstrip(".")


def _text(comment: str) -> str:
    return " ".join(comment.split()).replace("|", "\\|")


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(write_reference(read_protos()), encoding="utf-8")


if __name__ == "__main__":
    main()
