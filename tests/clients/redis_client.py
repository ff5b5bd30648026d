"""redis-py, as it is, through two nodes: what is written through one is read through the other.

usage: redis_client.py FIRST SECOND GUARDED AUTHORITY WRITER READER

The first three are HOST:PORT of Redis doors; the last of them asks for tokens and speaks TLS.
"""

import asyncio
import itertools
import sys

import redis
import redis.asyncio

first, second, guarded, authority, writer_token, reader_token = sys.argv[1:]

# So many seconds for anything.
PATIENCE = 20


def place(address):
    host, port = address.rsplit(":", 1)
    return {"host": host, "port": int(port), "socket_timeout": PATIENCE}


def refused(error, text, call):
    """What must fail, with this error."""
    try:
        found = call()
    except error as said:
        assert text in str(said), f"{said}, but not {text!r}"
    else:
        raise AssertionError(f"it was answered: {found!r}")


def greeting(one, other):
    assert one.ping() is True
    assert one.echo("hello") == "hello"
    info = one.client_info()
    assert info["lib-name"].startswith("redis-py") and info["lib-ver"] == redis.__version__, info
    assert one.client_setname("somebody") and one.client_getname() == "somebody"
    names = {client["name"]: client["id"] for client in one.client_list()}
    assert names["somebody"] == str(one.client_id()), names
    server = one.info("server")
    assert server["redis_version"].startswith("7.") and server["redis_mode"] == "standalone", server
    assert one.config_get("maxmemory") == {"maxmemory": str(256 << 20)}
    assert one.command_count() == len(one.command())
    assert one.command()["set"]["first_key_pos"] == 1
    assert one.command_getkeys("MSET", "a", 1, "b", 2) == ["a", "b"]
    assert isinstance(one.time(), tuple)
    refused(redis.ResponseError, "unknown command 'NOSUCH'", lambda: one.execute_command("NOSUCH"))


def strings(one, other):
    assert one.set("s", "v", ex=100) is True
    assert other.get("s") == "v" and 0 < other.ttl("s") <= 100
    assert one.set("s", "w", nx=True) is None and one.set("s", "w", xx=True, get=True) == "v"
    assert one.set("s", "x", keepttl=True) and other.ttl("s") == -1
    assert one.getex("s", px=60_000) == "x" and 0 < other.pttl("s") <= 60_000
    assert one.persist("s") and other.expiretime("s") == -1
    assert one.append("s", "yz") == 3 and other.getrange("s", 1, -1) == "yz"
    assert one.incr("n", 5) == 5 and other.decr("n") == 4 and one.incrbyfloat("n", 0.5) == 4.5
    assert one.mset({f"m:{n}": n for n in range(50)}) is True
    assert other.mget([f"m:{n}" for n in range(52)]) == [str(n) for n in range(50)] + [None, None]
    assert one.exists(*(f"m:{n}" for n in range(60))) == 50
    assert one.rename("s", "t") and other.getdel("t") == "xyz" and other.get("t") is None
    assert one.delete(*(f"m:{n}" for n in range(60))) == 50
    assert one.type("n") == "string" and other.type("none") == "none"
    binary = bytes(range(256))
    raw = redis.Redis(**place(second))
    assert raw.set(binary, binary) and raw.get(binary) == binary and raw.delete(binary) == 1
    raw.close()
    refused(redis.ResponseError, "not an integer", lambda: other.incr("n"))


def collections(one, other):
    assert one.hset("h", mapping={"a": 1, "b": "two", "": "empty"}) == 3
    assert other.hgetall("h") == {"a": "1", "b": "two", "": "empty"}
    assert one.hincrby("h", "a", 4) == 5 and one.hincrbyfloat("h", "a", 0.5) == 5.5
    assert other.hmget("h", "a", "none") == ["5.5", None] and other.hlen("h") == 3
    assert dict(other.hscan_iter("h", match="[ab]")) == {"a": "5.5", "b": "two"}
    assert one.hdel("h", "a", "b", "c") == 2 and other.hkeys("h") == [""]

    assert one.rpush("l", *range(10)) == 10 and one.lpush("l", "first") == 11
    assert other.lrange("l", 0, 2) == ["first", "0", "1"]
    assert other.lpop("l", 2) == ["first", "0"] and one.rpop("l") == "9"
    assert one.lpos("l", "5") == 4 and one.linsert("l", "before", "5", "4.5") == 9
    assert one.lrem("l", 0, "4.5") == 1 and one.ltrim("l", 0, 3) is True and other.llen("l") == 4
    assert one.lmove("l", "other", "LEFT", "RIGHT") == "1" and other.lrange("other", 0, -1) == ["1"]
    assert tuple(one.blpop("other", timeout=1)) == ("other", "1")
    refused(redis.ResponseError, "blocking", lambda: one.blpop("other", timeout=1))
    refused(redis.ResponseError, "WRONGTYPE", lambda: other.incr("l"))

    assert one.sadd("x", "a", "b", "c") == 3 and one.sadd("y", "b", "c", "d") == 3
    assert other.smembers("x") == {"a", "b", "c"} and other.smismember("x", ["a", "z"]) == [1, 0]
    assert one.sinter("x", "y") == {"b", "c"} and one.sdiff("x", "y") == {"a"}
    assert one.sunionstore("z", "x", "y") == 4 and other.scard("z") == 4
    assert sorted(other.sscan_iter("z")) == ["a", "b", "c", "d"]
    assert one.smove("x", "y", "a") and other.spop("x") in {"b", "c"}
    # Answers of many pieces.
    many = {f"member-{n}" for n in range(5_000)}
    assert one.sadd("many", *many) == 5_000 and other.smembers("many") == many
    assert set(other.sscan_iter("many", count=500)) == many


def documents(one, other):
    document = {"name": "Bus", "stops": [{"at": 1.5}, {"at": 2}], "line": None}
    assert one.json().set("doc", "$", document) is True
    assert other.json().get("doc") == document
    assert other.json().get("doc", "$.stops[*].at") == [1.5, 2]
    assert other.json().get("doc", "$.name", "$.line") == {"$.name": ["Bus"], "$.line": [None]}
    assert one.json().set("doc", "$.name", "Tram", xx=True) and not one.json().set("doc", "$", {}, nx=True)
    assert one.json().numincrby("doc", "$.stops[1].at", 3) == [5]
    assert one.json().arrappend("doc", "$.stops", {"at": 9}, {}) == [4]
    assert other.json().arrlen("doc", "$.stops") == [4]
    assert other.json().objkeys("doc", "$") == [["name", "stops", "line"]]
    assert list(itertools.chain.from_iterable(map(list, other.json().type("doc", "$.stops")))) in (["array"], list("array"))
    assert one.json().merge("doc", "$", {"line": 4, "name": None}) is True
    assert other.json().get("doc", "$.line") == [4]
    assert other.json().mget(["doc", "none"], "$.line") == [[4], None]
    assert one.json().delete("doc", "$.stops[0]") == 1 and other.get("doc").startswith('{"stops":')
    assert one.json().delete("doc") == 1 and other.json().get("doc") is None


def pipelines(one, other):
    pipe = one.pipeline(transaction=False)
    for n in range(1_000):
        pipe.set(f"p:{n}", n)
        pipe.incr("sum", n)
    assert pipe.execute()[-1] == 499_500
    # One that fails harms no other.
    pipe = other.pipeline(transaction=False)
    pipe.get("p:7").lpush("p:7", 1).incr("p:7").json().set("p:d", "$", [1])
    found = pipe.execute(raise_on_error=False)
    assert found[0] == "7" and isinstance(found[1], redis.ResponseError), found
    assert found[2:] == [8, True], found
    assert one.dbsize() >= 1_001
    # There are no transactions: nothing of one is done, and the client says why.
    refused(redis.ResponseError, "there are no transactions", one.pipeline().set("t", 1).get("t").execute)
    assert other.get("t") is None and one.set("t", 2) is True


def scans(one, other):
    wanted = {f"p:{n}" for n in range(1_000)}
    assert {key for key in one.scan_iter("p:[0-9]*", count=50)} == wanted
    assert {key for key in other.scan_iter("p:[0-9]*", count=1_000, _type="string")} == wanted
    assert set(other.scan_iter(_type="hash")) == {"h"}
    assert set(one.keys("p:99?")) == {f"p:99{n}" for n in range(10)}
    assert other.randomkey() is not None


def messages(one, other):
    with other.pubsub() as listener:

        def told():
            # What it is told by hand may come before the rest is there.
            while (message := listener.get_message(timeout=PATIENCE)) is None:
                pass
            return message["type"], message["pattern"], message["channel"], message["data"]

        listener.subscribe("news", "other")
        listener.psubscribe("n?ws")
        assert [told() for _ in range(3)] == [
            ("subscribe", None, "news", 1),
            ("subscribe", None, "other", 2),
            ("psubscribe", None, "n?ws", 3),
        ]
        # Who has heard that it listens misses nothing of what follows, on whatever node.
        for n in range(100):
            one.publish("news", n)
            found = {told(), told()}
            assert found == {("message", None, "news", str(n)), ("pmessage", "n?ws", "news", str(n))}, found
        assert other.publish("other", "here") == 1 and told() == ("message", None, "other", "here")
        assert set(other.pubsub_channels()) == {"news", "other"} and other.pubsub_numpat() == 1
        assert other.pubsub_numsub("news", "none") == [("news", 1), ("none", 0)]
        listener.unsubscribe()
        assert {told()[2], told()[2]} == {"news", "other"}
        one.publish("news", "last")
        assert told() == ("pmessage", "n?ws", "news", "last")


def pools():
    pool = redis.ConnectionPool(max_connections=3, decode_responses=True, **place(first))
    clients = [redis.Redis(connection_pool=pool) for _ in range(3)]
    for client in clients:
        assert client.set("pooled", "v")
    ids = {client.client_id() for client in clients}
    assert len(ids) == 1, "it was free for each of them"
    # One that the node has closed is opened anew.
    assert redis.Redis(**place(first)).client_kill_filter(_id=ids.pop()) == 1
    assert clients[0].get("pooled") == "v"
    pool.disconnect()


async def together():
    pool = redis.asyncio.BlockingConnectionPool(max_connections=10, decode_responses=True, **place(first))
    client = redis.asyncio.Redis(connection_pool=pool)
    await asyncio.gather(*(client.incr("async") for _ in range(500)))
    assert await client.get("async") == "500"
    async with client.pipeline(transaction=False) as pipe:
        for n in range(500):
            pipe.hset("async:h", f"f{n}", n)
        assert await pipe.execute() == [1] * 500
    assert len([field async for field in client.hscan_iter("async:h", count=50)]) == 500
    assert {key async for key in client.scan_iter("async*")} == {"async", "async:h"}
    assert await client.json().set("async:d", "$", {"a": 1}) and await client.json().get("async:d") == {"a": 1}
    async with client.pubsub() as listener:
        await listener.subscribe("async")
        told = aiter(listener.listen())
        assert (await anext(told))["type"] == "subscribe"
        await asyncio.gather(*(client.publish("async", n) for n in range(50)))
        assert {(await anext(told))["data"] for _ in range(50)} == set(map(str, range(50)))
    await client.aclose()
    await pool.disconnect()


def secured():
    def client(token, **more):
        tls = {"ssl": True, "ssl_ca_certs": authority}
        return redis.Redis(decode_responses=True, password=token, **tls, **place(guarded), **more)

    for protocol in (2, 3):
        writer = client(writer_token, protocol=protocol)
        assert writer.set("k", "v") and writer.get("k") == "v"
        assert client(writer_token, username="w", protocol=protocol).get("k") == "v"
        reader = client(reader_token, protocol=protocol)
        assert reader.get("k") == "v"
        refused(redis.exceptions.NoPermissionError, "may not run", lambda: reader.set("k", "w"))
        # Whoever shows nothing, or anything, hears that at its first command.
        for token in (None, "nobodys-token-at-all"):
            refused(redis.exceptions.AuthenticationError, "", lambda: client(token, protocol=protocol).get("k"))
    plain = redis.Redis(retry=None, **place(guarded))
    refused(redis.RedisError, "", plain.ping)


def main():
    print("redis-py", redis.__version__)
    for protocol in (2, 3):
        one, other = (
            redis.Redis(decode_responses=True, protocol=protocol, **place(address)) for address in (first, second)
        )
        one.flushall()
        for part in (greeting, strings, collections, documents, pipelines, scans, messages):
            part(one, other)
            print(f"  RESP{protocol}: {part.__name__}")
        one.close()
        other.close()
    pools()
    print("  pools")
    asyncio.run(asyncio.wait_for(together(), 3 * PATIENCE))
    print("  asyncio")
    secured()
    print("  a token and TLS")


main()
