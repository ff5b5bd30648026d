// ioredis, as it is: what is written through one node is read through the other.
//
// usage: node ioredis.mjs FIRST SECOND GUARDED AUTHORITY WRITER READER
//
// The first three are HOST:PORT of Redis doors; the last of them asks for tokens and speaks TLS.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Redis } from "ioredis";
import { Queue, done, nodes, patient, refused } from "./harness.mjs";

const [first, second, guarded, authority, writer, reader] = nodes;

function connect(address, options = {}) {
  const colon = address.lastIndexOf(":");
  const client = new Redis({
    host: address.slice(0, colon),
    port: Number(address.slice(colon + 1)),
    commandTimeout: 20_000,
    ...options,
  });
  // What goes wrong is told by the command that it goes wrong for.
  client.on("error", () => {});
  return client;
}

const range = (count) => Array.from({ length: count }, (_, n) => n);

const one = connect(first, { connectionName: "somebody" });
const other = connect(second);

// Commands that are given before the connection is there wait for it; INFO says when it is ready.
const early = one.set("early", "v");
assert.notEqual(one.status, "ready");
assert.equal(await patient("an early command", early), "OK");
assert.equal(one.status, "ready");
assert.equal(await other.get("early"), "v");
assert.match(await one.client("LIST"), / name=somebody .* lib-name=ioredis lib-ver=5\./);
assert.match(await one.info(), /\r\nredis_version:7\./);
done("a connection, when it is ready");

assert.equal(await one.set("s", "v", "PX", 60_000, "NX"), "OK");
assert.equal(await other.set("s", "w", "NX"), null);
assert.ok((await other.pttl("s")) > 0);
assert.equal(await one.incrby("n", 5), 5);
assert.deepEqual(await other.mget("s", "none", "n"), ["v", null, "5"]);
await one.hset("h", { a: 1, b: "two" });
assert.deepEqual(await other.hgetall("h"), { a: "1", b: "two" });
await one.rpush("l", ...range(10));
assert.deepEqual(await other.lrange("l", -2, -1), ["8", "9"]);
await one.sadd("m", range(1_000));
assert.equal((await other.smembers("m")).length, 1_000);
const binary = Buffer.from(range(256));
await one.set(binary, binary);
assert.deepEqual(await other.getBuffer(binary), binary);
assert.equal(await one.call("JSON.SET", "d", "$", '{"a":[1.0]}'), "OK");
assert.equal(await other.call("JSON.GET", "d", "$.a[0]"), "[1.0]");
await refused("a wrong type", /^WRONGTYPE /, one.incr("l"));
await refused("an unknown command", /unknown command 'nosuch'/, one.call("nosuch"));
done("commands of every type");

const pipeline = one.pipeline();
for (const n of range(1_000)) pipeline.set(`p:${n}`, n);
pipeline.lpush("p:7", "x").get("p:8");
const replies = await patient("a pipeline", pipeline.exec());
assert.equal(replies.length, 1_002);
assert.match(replies[1_000][0].message, /^WRONGTYPE /);
assert.deepEqual(replies[1_001], [null, "8"]);
const automatic = connect(second, { enableAutoPipelining: true });
const got = await patient("pipelines by itself", Promise.all(range(1_000).map((n) => automatic.get(`p:${n}`))));
assert.deepEqual(got, range(1_000).map(String));
automatic.disconnect();
await refused("a transaction", /EXECABORT/, one.multi().set("t", 1).exec());
assert.equal(await one.get("t"), null);
done("pipelines, and that there are no transactions");

async function collect(stream) {
  const found = new Set();
  for await (const part of stream) part.forEach((item) => found.add(item));
  return found;
}

const wanted = new Set(range(1_000).map((n) => `p:${n}`));
assert.deepEqual(await patient("a scan", collect(other.scanStream({ match: "p:*", count: 100 }))), wanted);
assert.deepEqual(await patient("a scan", collect(one.scanStream({ type: "hash" }))), new Set(["h"]));
assert.equal((await patient("a scan", collect(one.sscanStream("m", { count: 50 })))).size, 1_000);
done("scans");

const listener = connect(second);
const told = new Queue();
listener.on("message", (channel, message) => told.push([channel, message]));
listener.on("pmessage", (pattern, channel, message) => told.push([pattern, channel, message]));
assert.equal(await patient("a subscription", listener.subscribe("news", "other")), 2);
assert.equal(await patient("a subscription", listener.psubscribe("n*s")), 3);
for (const n of range(100)) {
  await one.publish("news", `${n}`);
  const found = [await told.take("a message"), await told.take("a message")];
  const wanted = [
    ["n*s", "news", `${n}`],
    ["news", `${n}`],
  ];
  assert.deepEqual(found.sort((a, b) => b.length - a.length), wanted);
}
assert.equal(await listener.unsubscribe("news", "other"), 1);
assert.equal(await listener.punsubscribe(), 0);
assert.equal(await listener.get("s"), "v");
listener.disconnect();
done("messages");

// A connection that the node closes is opened anew, and what was sent meanwhile is carried out.
const id = await one.client("ID");
const killer = connect(first);
assert.equal(await killer.client("KILL", "ID", id), 1);
assert.equal(await patient("a new connection", one.get("s")), "v");
assert.notEqual(await one.client("ID"), id);
done("a connection that is lost");
for (const client of [one, other, killer]) assert.equal(await client.quit(), "OK");

const tls = { ca: readFileSync(authority) };
const writing = connect(guarded, { tls, password: writer });
assert.equal(await writing.set("k", "v"), "OK");
const reading = connect(guarded, { tls, username: "r", password: reader });
assert.equal(await reading.get("k"), "v");
await refused("a reader's write", /^NOPERM /, reading.set("k", "w"));
const stranger = connect(guarded, { tls, maxRetriesPerRequest: 0, retryStrategy: null });
await refused("a stranger", /NOAUTH|closed/, stranger.get("k"));
for (const client of [writing, reading, stranger]) client.disconnect();
done("a token and TLS");
