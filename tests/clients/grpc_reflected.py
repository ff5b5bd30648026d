"""A client of gRPC that has no file of the services: it asks for their descriptions, and calls them by these.

usage: grpc_reflected.py FIRST SECOND GUARDED AUTHORITY WRITER READER

The first three are HOST:PORT of HTTP doors; the last of them asks for tokens and speaks TLS.
"""

import base64
import sys
import threading

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

first, second, guarded, authority, writer_token, reader_token = sys.argv[1:]

# So many seconds for anything.
PATIENCE = 20


class Services:
    """What a node says that it has, to be called by name with messages as plain data."""

    def __init__(self, channel, token=None):
        self.channel = channel
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def names(self):
        return set(self.database.get_services())

    def method(self, path):
        service, name = path.split("/")
        found = self.pool.FindServiceByName(f"smache.v1.{service}").FindMethodByName(name)
        kinds = (
            "stream" if found.client_streaming else "unary",
            "stream" if found.server_streaming else "unary",
        )
        asked = message_factory.GetMessageClass(found.input_type)
        told = message_factory.GetMessageClass(found.output_type)
        call = getattr(self.channel, "_".join(kinds))(
            f"/smache.v1.{service}/{name}",
            request_serializer=asked.SerializeToString,
            response_deserializer=told.FromString,
        )
        return asked, call

    def call(self, path, /, timeout=PATIENCE, metadata=(), **fields):
        asked, call = self.method(path)
        message = json_format.ParseDict(fields, asked())
        return plain(call(message, timeout=timeout, metadata=[*self.metadata, *metadata]))

    def stream(self, path, requests, timeout=PATIENCE):
        """The answers to several requests, one after the other."""
        asked, call = self.method(path)
        messages = (json_format.ParseDict(fields, asked()) for fields in requests)
        return map(plain, call(messages, timeout=timeout, metadata=self.metadata))

    def follow(self, timeout=PATIENCE, **fields):
        """A call that tells of changes, as soon as it is heard."""
        asked, call = self.method("Watch/Watch")
        following = call(json_format.ParseDict(fields, asked()), timeout=timeout, metadata=self.metadata)
        following.initial_metadata()
        return following


def plain(message):
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def text(text):
    """Bytes, as JSON has them."""
    return base64.b64encode(text.encode()).decode()


def words(line):
    return {"args": [text(word) for word in line.split()]}


def refused(code, error, call):
    """What must fail, with this status and this error, or one of these."""
    try:
        found = call()
    except grpc.RpcError as status:
        errors = {item.key: item.value for item in status.trailing_metadata() or ()}
        found = (status.code(), errors.get("smache-error"))
        errors = error if isinstance(error, tuple) else (error,)
        assert found in [(code, one) for one in errors], f"{found}: {status.details()}"
    else:
        raise AssertionError(f"it was answered: {found!r}")


def described(one, other):
    ours = "Cache Commands Counter Flag Hash Json Kv List Set Watch".split()
    wanted = {f"smache.v1.{name}" for name in ours}
    # This client asks in the older version of reflection, which names itself.
    wanted |= {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert one.names() >= wanted, one.names()
    for name in ours:
        assert one.pool.FindServiceByName(f"smache.v1.{name}").methods, name


def values(one, other):
    stored = one.call("Kv/Put", key="k", value=text("v"), ttl_ms=60_000)
    assert stored["created"] is True
    got = other.call("Kv/Get", key="k")
    assert got["value"] == text("v") and 0 < int(got["ttl_ms"]) <= 60_000, got
    assert got["version"] == stored["version"]
    condition = {"version_in": [got["version"]]}
    one.call("Kv/Put", key="k", value=text("w"), condition=condition)
    stale = lambda: other.call("Kv/Put", key="k", value=text("x"), condition=condition)
    refused(grpc.StatusCode.ABORTED, "precondition_failed", stale)
    refused(grpc.StatusCode.NOT_FOUND, "not_found", lambda: one.call("Kv/Get", key="none"))
    refused(grpc.StatusCode.INVALID_ARGUMENT, "missing_field", lambda: one.call("Kv/Put", key="k"))

    assert one.call("Counter/Increment", key="c", amount=5)["value"] == "5"
    named = lambda: one.call("Counter/Increment", key="c", amount=1, metadata=[("idempotency-key", "once")])
    assert named()["value"] == named()["value"] == "6"
    assert other.call("Counter/Get", key="c")["value"] == "6"
    most = str(2**63 - 1)
    refused(grpc.StatusCode.OUT_OF_RANGE, "counter_overflow", lambda: one.call("Counter/Increment", key="c", amount=most))
    one.call("Flag/Set", key="f", value=True)
    assert other.call("Flag/Get", key="f")["value"] is True
    one.call("Cache/Set", key="c", value=text("cached"))
    assert other.call("Cache/Get", key="c")["value"] == text("cached")


def collections(one, other):
    entries = [{"field": text(field), "value": text(value)} for field, value in (("a", "1"), ("b", "2"))]
    one.call("Hash/Set", key="h", entries=entries)
    assert other.call("Hash/GetAll", key="h")["entries"] == entries
    refused(grpc.StatusCode.FAILED_PRECONDITION, "wrong_type", lambda: other.call("Json/Query", key="hashes:h", path="$.a"))
    one.call("List/Push", key="l", end="LIST_END_RIGHT", elements=[text("x"), text("y")])
    assert other.call("List/Range", key="l", last=-1)["elements"] == [text("x"), text("y")]
    one.call("Set/Add", key="s", items=[text("m"), text("n")])
    assert sorted(other.call("Set/Get", key="s")["items"]) == [text("m"), text("n")]

    one.call("Json/Put", key="doc", json='{"a": {"b": [1.0, 2]}}')
    got = other.call("Json/Get", key="doc")
    assert (got["json"], got["type"]) == ('{"a":{"b":[1.0,2]}}', "VALUE_TYPE_JSON"), got
    assert other.call("Json/Query", key="doc", path="$.a.b[*]")["json"] == "[1.0,2]"
    assert one.call("Json/Merge", key="doc", patch='{"a":null,"c":1}')["json"] == '{"c":1}'


def commands(one, other):
    assert one.call("Commands/Run", **words("SET said hello")) == {"status": "OK"}
    assert other.call("Commands/Run", **words("GET said")) == {"bytes": text("hello")}
    refused(grpc.StatusCode.FAILED_PRECONDITION, "WRONGTYPE", lambda: one.call("Commands/Run", **words("LLEN said")))
    refused(grpc.StatusCode.UNIMPLEMENTED, "ERR", lambda: one.call("Commands/Run", **words("NOSUCH")))
    assert one.call("Commands/Run", **words("PUBLISH nobody hello")) == {"integer": "0"}
    lines = ["HSET of:h f v", "INCR of:h", "HGETALL of:h", *(f"RPUSH of:l {n}" for n in range(300))]
    told = list(other.stream("Commands/Stream", map(words, lines)))
    assert [reply.get("integer") for reply in told[3:]] == [str(n + 1) for n in range(300)], told
    assert told[0] == {"integer": "1"} and told[1]["error"]["word"] == "WRONGTYPE", told[:2]
    pair = {"key": {"bytes": text("f")}, "value": {"bytes": text("v")}}
    assert told[2] == {"map": {"pairs": [pair]}}, told[2]


def watching(one, other):
    following = other.follow(keys=[text("watched")], prefixes=[text("all:")])
    told = map(plain, following)
    assert next(told) == {"snapshot": {"key": text("watched")}}
    version = one.call("Json/Put", key="watched", json="[1]")["version"]
    value = {"json": "[1]", "type": "VALUE_TYPE_JSON", "version": version}
    assert next(told) == {"put": {"key": text("watched"), "value": value}, "version": version}
    one.call("Commands/Run", **words("RPUSH all:l a b"))
    event = next(told)
    assert event["put"]["value"]["json"] == '["a","b"]', event
    one.call("Commands/Run", **words("DEL watched"))
    assert next(told)["delete"] == {"key": text("watched")}
    assert following.cancel()
    # It can end by a deadline, and is refused what makes no sense.
    # Client and node both know the deadline: either may be the first to act on it.
    late = (None, "deadline")
    refused(grpc.StatusCode.DEADLINE_EXCEEDED, late, lambda: list(one.follow(timeout=0.5, prefixes=[text("none:")])))
    refused(grpc.StatusCode.INVALID_ARGUMENT, "key_required", lambda: list(one.follow()))


def health(one, other):
    for asked, known in (("", True), ("smache.v1.Watch", True), ("smache.v1.Nothing", False)):
        stub = health_pb2_grpc.HealthStub(one.channel)
        call = lambda: stub.Check(health_pb2.HealthCheckRequest(service=asked), timeout=PATIENCE)
        if known:
            assert call().status == health_pb2.HealthCheckResponse.SERVING
        else:
            refused(grpc.StatusCode.NOT_FOUND, None, call)


def many(one, other):
    """Several at a time on one connection."""
    failed = []

    def add():
        try:
            for _ in range(50):
                one.call("Counter/Increment", key="many", amount=1)
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    assert other.call("Counter/Get", key="many")["value"] == "400"


def secured():
    with open(authority, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with grpc.secure_channel(guarded, credentials) as channel:
        # What can be called is told, and whether it can, to everybody.
        stub = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status == health_pb2.HealthCheckResponse.SERVING
        stranger, reader, writer = (Services(channel, token) for token in (None, reader_token, writer_token))
        assert "smache.v1.Kv" in stranger.names()
        writer.call("Kv/Put", key="k", value=text("v"))
        assert reader.call("Kv/Get", key="k")["value"] == text("v")
        refused(grpc.StatusCode.PERMISSION_DENIED, "forbidden", lambda: reader.call("Kv/Put", key="k", value=text("w")))
        refused(grpc.StatusCode.PERMISSION_DENIED, "forbidden", lambda: reader.call("Commands/Run", **words("SET k w")))
        refused(grpc.StatusCode.UNAUTHENTICATED, "unauthorized", lambda: stranger.call("Kv/Get", key="k"))
        told = list(reader.stream("Commands/Stream", map(words, ["SET k w", "GET kv:k"])))
        assert told[0]["error"]["word"] == "NOPERM" and told[1] == {"bytes": text("v")}, told
        following = reader.follow(keys=[text("kv:k")])
        assert plain(next(following))["snapshot"]["value"]["json"] == '"v"'
        following.cancel()


def main():
    print("grpcio", grpc.__version__)
    with grpc.insecure_channel(first) as to_first, grpc.insecure_channel(second) as to_second:
        one, other = Services(to_first), Services(to_second)
        for part in (described, values, collections, commands, watching, health, many):
            part(one, other)
            print(f"  {part.__name__}")
    secured()
    print("  a token and TLS")


main()
