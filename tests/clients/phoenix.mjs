// Phoenix's own clients, of both forms of frames, in rooms: what is published is heard by all, what is asked is answered
// to the asker, and writes through other doors and nodes are told.
//
//   node phoenix.mjs http://FIRST http://SECOND

import assert from "node:assert/strict";
import { createRequire } from "node:module";

import * as two from "phoenix";
import WebSocket from "ws";

import { Queue, ask, done, nodes, patient, put } from "./harness.mjs";

// The last one that speaks the first form. It takes the world for a browser's window.
globalThis.window = globalThis;
const one = createRequire(import.meta.url)("phoenix-one");

const [first, second] = nodes;

/** A connected client. */
async function connect({ Socket }, node) {
  const url = `${node.replace("http", "ws")}/socket`;
  const socket = new Socket(url, { transport: WebSocket, heartbeatIntervalMs: 100, params: { any: "thing" } });
  const opened = new Promise((resolve) => socket.onOpen(resolve));
  socket.onError((error) => assert.fail(`the socket failed: ${error?.message ?? error}`));
  socket.connect();
  await patient("the socket", opened);
  return socket;
}

/** What a push or a join is answered. */
function answer(push) {
  const replied = new Promise((resolve) => {
    for (const status of ["ok", "error"]) push.receive(status, (response) => resolve([status, response]));
  });
  return patient("a reply", replied);
}

/** A room that was joined, and what is told in it. */
async function join(socket, topic) {
  const channel = socket.channel(topic, {});
  const told = new Queue();
  channel.on("bus_sub", (payload) => told.push(payload));
  assert.deepEqual(await answer(channel.join()), ["ok", {}]);
  return { channel, told };
}

for (const [name, { client, vsn }] of Object.entries({
  "phoenix 1.2 (frames of the first form)": { client: one, vsn: "1.0.0" },
  "phoenix 1.8 (frames of the second form)": { client: two, vsn: "2.0.0" },
})) {
  const key = `px:${vsn}`;
  const sockets = [await connect(client, first), await connect(client, second)];
  assert.ok(sockets[0].endPointURL().includes(`vsn=${vsn}`), sockets[0].endPointURL());
  const here = await join(sockets[0], "room:lobby");
  const there = await join(sockets[1], "room:lobby");

  const published = await answer(here.channel.push("bus_pub", { body: { key, data: { n: 1 } } }));
  assert.equal(published[0], "ok", JSON.stringify(published));
  for (const { told } of [here, there]) {
    assert.deepEqual(await told.take("what was published"), { key, pub: { data: { n: 1 } } });
  }

  assert.deepEqual(await answer(there.channel.push("bus_sub", { body: { key } })), ["ok", {}]);
  assert.deepEqual(await there.told.take("the answer"), { key, sub: { data: { n: 1 } } });
  await put(first, key, { n: 2 });
  assert.deepEqual(await there.told.take("a write over HTTP"), { key, pub: { data: { n: 2 } } });
  await ask(second, "DELETE", `/api?key=${key}`);
  assert.deepEqual(await there.told.take("a delete"), { key, pub: { data: null } });
  assert.equal(here.told.length, 0, "what was asked is told the asker alone");

  const [status, { reason }] = await answer(here.channel.push("bus_pub", { body: { key } }));
  assert.deepEqual([status, typeof reason], ["error", "string"]);
  const [refused, why] = await answer(sockets[0].channel("lobby", {}).join());
  assert.deepEqual([refused, why.reason], ["error", "unmatched topic"]);

  const closed = new Promise((resolve) => there.channel.onClose(resolve));
  assert.deepEqual(await answer(there.channel.leave()), ["ok", {}]);
  await patient("the end of the channel", closed);

  // Heartbeats go on meanwhile; without answers to them the client would close.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual(await answer(here.channel.push("bus_sub", { body: { key } })), ["ok", {}]);
  assert.deepEqual(await here.told.take("the answer"), { key, sub: { data: null } });
  for (const socket of sockets) await new Promise((resolve) => socket.disconnect(resolve));
  done(name);
}
// Channels that were refused would try to join again for ever.
process.exit(0);
