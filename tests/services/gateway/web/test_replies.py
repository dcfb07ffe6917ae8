import jsonschema
import orjson
import pytest
from atelier.embedder.v1 import embedder_pb2
from atelier.ranker.v1 import ranker_pb2
from atelier.recommender.v1 import catalog_pb2, index_pb2, insight_pb2, recommender_pb2
from atelier.types.v1 import types_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from services.gateway.web.problems import VIOLATION_SCHEMA
from services.gateway.web.replies import encode, enum_words, picture_url, reference, schemas, write

MESSAGES = [
    message
    for module in (embedder_pb2, ranker_pb2, catalog_pb2, index_pb2, insight_pb2, recommender_pb2, types_pb2)
    for message in vars(module).values()
    if isinstance(message, type) and hasattr(message, "DESCRIPTOR")
]
SAMPLES = {
    FieldDescriptor.CPPTYPE_INT32: 7,
    FieldDescriptor.CPPTYPE_INT64: 1 << 50,
    FieldDescriptor.CPPTYPE_FLOAT: 0.25,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.1,
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_STRING: "<b>글</b>",
}


def filled(message, depth=0):
    """A message with every field set, alternatives to their last."""
    made = message()
    for field in made.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_BYTES or depth > 5:
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            continue
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            inner = sample(getattr(made, field.name), field, depth)
            if field.is_repeated:
                getattr(made, field.name).append(inner)
            else:
                getattr(made, field.name).CopyFrom(inner)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            value = field.enum_type.values[-1].number
            getattr(made, field.name).append(value) if field.is_repeated else setattr(made, field.name, value)
        elif field.is_repeated:
            getattr(made, field.name).append(SAMPLES[field.cpp_type])
        else:
            setattr(made, field.name, SAMPLES[field.cpp_type])
    return made


def sample(held, field, depth):
    kind = type(held.add()) if field.is_repeated else type(held)
    if field.is_repeated:
        del held[:]
    if kind.DESCRIPTOR.full_name == "google.protobuf.Struct":
        struct = Struct()
        struct.update({"colour": ["red", "<i>"], "price": 3, "sale": True, "none": None, "sub": {"a": 1.5}})
        return struct
    if kind.DESCRIPTOR.full_name == "google.protobuf.Timestamp":
        return Timestamp(seconds=1_700_000_000, nanos=5_000_000)
    if kind.DESCRIPTOR.full_name == "google.rpc.Status":
        return status_pb2.Status(code=3, message="damaged")
    return filled(kind, depth + 1)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.DESCRIPTOR.full_name)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "empty"])
def test_what_is_written_has_its_schema(message, whole):
    """Each message, empty and full, is JSON that its schema in the document allows. (R-7)"""
    made = filled(message) if whole else message()

    body = orjson.loads(encode(write(made)))

    document = {"components": {"schemas": {**schemas(message), "FieldViolation": VIOLATION_SCHEMA}}}
    jsonschema.Draft202012Validator({**document, **reference(message)}).validate(body)


def test_nothing_in_json_looks_like_markup():
    """A text with markup comes back as it was, and no `<` stands in the bytes. (S-5)"""
    data = encode({"name": "<script>alert(1)</script>"})

    assert b"<" not in data
    assert orjson.loads(data) == {"name": "<script>alert(1)</script>"}


def test_enums_are_words():
    """An enum's value is its word without the enum's name; a value of a later version its number."""
    words = enum_words(insight_pb2.FeedbackKind.DESCRIPTOR)

    assert words[insight_pb2.FEEDBACK_KIND_LIKED] == "liked"
    assert "unspecified" in words.values()


def test_times_are_in_utc():
    """A time has its date, its zone and what it has of a second."""
    body = orjson.loads(encode(write(Timestamp(seconds=1_700_000_000, nanos=5_000_000))))

    assert body == "2023-11-14T22:13:20.005000Z"


def test_an_item_says_where_its_picture_is():
    """The address holds collection and item; an item without a picture has none."""
    assert (
        picture_url("a-1", "f" * 64, "fashion") == f"/api/pictures/{'f' * 64}?collection=fashion&item_id=a-1"
    )
    assert picture_url("a-1", "", "fashion") == ""
