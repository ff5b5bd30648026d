// What the clients' scripts have in common: nodes to ask, and patience with an end.

import assert from "node:assert/strict";

const patience = 20_000;

/** What the command line names: the addresses of two nodes first. */
export const nodes = process.argv.slice(2);
assert.ok(nodes.length >= 2, "usage: node SCRIPT.mjs FIRST SECOND");

/** What a promise comes to, unless it takes too long. */
export function patient(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asserts that a promise fails, and why. */
export const refused = (what, why, promise) =>
  patient(what, assert.rejects(promise, (error) => (assert.match(String(error.message), why), true)));

/** Asks a node over HTTP; the answer must be good. */
export async function ask(node, method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const answer = await patient(
    `${method} ${path}`,
    fetch(node + path, { method, headers, body: body && JSON.stringify(body) }),
  );
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

/** Writes a value. */
export const put = (node, key, data) => ask(node, "POST", "/api", { key, data });

/** What comes one after the other, to be taken one after the other. */
export class Queue {
  #items = [];
  #takers = [];

  push(item) {
    const taker = this.#takers.shift();
    taker ? taker(item) : this.#items.push(item);
  }

  take(what) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return patient(what, new Promise((taker) => this.#takers.push(taker)));
  }

  get length() {
    return this.#items.length;
  }
}

/** Says that a part is done. */
export const done = (what) => console.log(`  ${what}`);
