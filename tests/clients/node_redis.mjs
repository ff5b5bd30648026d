// node-redis, as it is, in both protocols: what is written through one node is read through the other.
//
// usage: node node_redis.mjs FIRST SECOND GUARDED AUTHORITY WRITER READER
//
// The first three are HOST:PORT of Redis doors; the last of them asks for tokens and speaks TLS.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createClient, createClientPool } from "@redis/client";
import documents from "@redis/json";
import { Queue, done, nodes, patient, refused } from "./harness.mjs";

// It is a module of the older kind.
const json = documents.default;
const [first, second, guarded, authority, writer, reader] = nodes;

async function connect(url, options = {}) {
  const client = createClient({ url, modules: { json }, ...options });
  client.on("error", () => {});
  await patient(`a connection to ${url}`, client.connect());
  return client;
}

const range = (count) => Array.from({ length: count }, (_, n) => n);

for (const RESP of [2, 3]) {
  const one = await connect(`redis://${first}/0`, { RESP, name: "somebody" });
  const other = await connect(`redis://${second}`, { RESP });
  await one.flushAll();
  const info = await one.clientInfo();
  assert.equal(info.name, "somebody");
  assert.match(info.libName, /node-redis/);
  assert.equal(info.resp, RESP);

  assert.equal(await one.set("s", "v", { expiration: { type: "EX", value: 60 }, condition: "NX" }), "OK");
  assert.equal(await other.get("s"), "v");
  assert.ok((await other.ttl("s")) > 0);
  assert.equal(await one.incrBy("n", 5), 5);
  assert.deepEqual(await other.mGet(["s", "none", "n"]), ["v", null, "5"]);
  assert.equal(await one.hSet("h", { a: "1", b: "two" }), 2);
  assert.deepEqual({ ...(await other.hGetAll("h")) }, { a: "1", b: "two" });
  await one.rPush("l", range(10).map(String));
  assert.deepEqual(await other.lRange("l", -2, -1), ["8", "9"]);
  await one.sAdd("m", range(100).map(String));
  assert.equal(new Set(await other.sMembers("m")).size, 100);
  assert.equal(await one.json.set("d", "$", { a: [1, { b: null }] }), "OK");
  assert.deepEqual(await other.json.get("d", { path: "$.a[1]" }), [{ b: null }]);
  await refused("a wrong type", /^WRONGTYPE /, one.incr("l"));

  // All that is asked in one turn goes out in one pipeline.
  await patient("many at a time", Promise.all(range(1_000).map((n) => one.set(`p:${n}`, String(n)))));
  const found = new Set();
  for await (const keys of other.scanIterator({ MATCH: "p:*", COUNT: 100 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 1_000);
  const pipeline = one.multi().get("p:1").incr("p:2").hLen("h");
  assert.deepEqual(await patient("a pipeline", pipeline.execAsPipeline()), ["1", 3, 2]);
  const listener = await connect(`redis://${second}`, { RESP });
  const told = new Queue();
  await patient("a subscription", listener.subscribe("news", (message, channel) => told.push([channel, message])));
  await patient("a subscription", listener.pSubscribe("o*r", (message, channel) => told.push([channel, message])));
  for (const channel of ["news", "other"]) {
    await one.publish(channel, `to ${channel}`);
    assert.deepEqual(await told.take("a message"), [channel, `to ${channel}`]);
  }
  await patient("the end of it", listener.unsubscribe("news"));
  await patient("the end of it", listener.pUnsubscribe("o*r"));
  // It hands out bytes for a while after that.
  assert.equal(String(await listener.get("s")), "v");
  listener.destroy();

  one.destroy();
  await other.close();
  done(`RESP${RESP}`);
}

const pool = createClientPool({ url: `redis://${first}` }, { maximum: 4 });
pool.on("error", () => {});
await patient("a pool", pool.connect());
await patient("many of a pool", Promise.all(range(200).map(() => pool.incr("pooled"))));
assert.equal(await pool.get("pooled"), "200");
await pool.close();
done("a pool");

const socket = { ca: readFileSync(authority) };
const writing = await connect(`rediss://${guarded}`, { socket, password: writer });
assert.equal(await writing.set("k", "v"), "OK");
const reading = await connect(`rediss://${guarded}`, { socket, username: "r", password: reader, RESP: 3 });
assert.equal(await reading.get("k"), "v");
await refused("a reader's write", /^NOPERM /, reading.set("k", "w"));
writing.destroy();
reading.destroy();
done("a token and TLS");
