// An EventSource follows keys: it is told what they are and what becomes of them, through whichever node they are
// written, and goes on where it was when its connection breaks.
//
//   node eventsource.mjs http://FIRST http://SECOND

import assert from "node:assert/strict";
import net from "node:net";

import { EventSource } from "eventsource";

import { Queue, ask, done, nodes, patient, put } from "./harness.mjs";

const [first, second] = nodes;
const names = ["snapshot", "put", "delete", "expire", "evict", "missed"];

/** An EventSource whose events are taken one after the other. */
function watch(base, query) {
  const source = new EventSource(`${base}/api/watch?${query}`);
  const events = new Queue();
  for (const name of names) {
    source.addEventListener(name, ({ data, lastEventId }) => {
      events.push({ name, id: lastEventId, ...JSON.parse(data) });
    });
  }
  const open = () =>
    patient("the stream", new Promise((resolve) => source.addEventListener("open", resolve, { once: true })));
  return { source, events, open };
}

const say = ({ name, key, data }) => [name, key, data];

await put(first, "es:a", { n: 1 });
const keys = watch(first, "key=es:a&key=es:b");
assert.deepEqual(say(await keys.events.take("a snapshot")), ["snapshot", "es:a", { n: 1 }]);
assert.deepEqual(say(await keys.events.take("a snapshot")), ["snapshot", "es:b", null]);
for (const node of nodes) {
  await put(node, "es:b", { through: node });
  assert.deepEqual(say(await keys.events.take("a put")), ["put", "es:b", { through: node }]);
}
await ask(second, "DELETE", "/api?key=es:b");
assert.deepEqual(say(await keys.events.take("a delete")), ["delete", "es:b", null]);
keys.source.close();
done("keys, as they are and what becomes of them");

const prefix = watch(second, "prefix=es:");
await prefix.open();
await ask(first, "POST", "/api", { key: "es:c", data: {}, ttl: "200ms" });
const stored = await prefix.events.take("a put");
assert.deepEqual(say(stored), ["put", "es:c", {}]);
assert.equal(stored.type, "json");
assert.ok(stored.ttl_ms <= 200 && stored.etag === stored.id, JSON.stringify(stored));
assert.deepEqual(say(await prefix.events.take("an expiry")), ["expire", "es:c", null]);
prefix.source.close();
done("everything that begins alike, and what expires");

// Through a connection that can be broken.
const connections = new Set();
const { hostname, port } = new URL(first);
const broken = net.createServer((client) => {
  const server = net.connect(Number(port), hostname);
  for (const [from, to] of [[client, server], [server, client]]) {
    connections.add(from);
    from.pipe(to);
    from.on("error", () => to.destroy());
    from.on("close", () => connections.delete(from) && to.destroy());
  }
});
await new Promise((resolve) => broken.listen(0, "127.0.0.1", resolve));
const again = watch(`http://127.0.0.1:${broken.address().port}`, "key=es:a");
const seen = await again.events.take("a snapshot");
assert.deepEqual(say(seen), ["snapshot", "es:a", { n: 1 }]);
const reopened = again.open();
connections.forEach((connection) => connection.destroy());
await reopened;
await put(second, "es:a", { n: 2 });
assert.deepEqual(say(await again.events.take("a put")), ["put", "es:a", { n: 2 }], "what it knew is not told again");
again.source.close();
broken.close();
connections.forEach((connection) => connection.destroy());
done("a connection that breaks, and comes back with Last-Event-ID");
