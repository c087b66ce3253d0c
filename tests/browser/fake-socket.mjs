// A WebSocket whose far end is the test: it records what the client sends and says what the test tells it to say.

import { mock } from "node:test";
import { RealtimeBus } from "../../src/web/realtime-bus.js";

export const URL_CHAT = "ws://server.test/ws/chat/";
export const ME = 1;
export const PEER = 2;

export class FakeSocket {
  static all = [];

  static get last() {
    return FakeSocket.all.at(-1);
  }

  constructor(url, protocols) {
    Object.assign(this, { url, protocols, sent: [], closed: false });
    FakeSocket.all.push(this);
  }

  // The client's side.

  send(text) {
    if (this.closed) throw new Error("sent on a closed socket");
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.closed = true;
  }

  // The test's side.

  say(event) {
    this.onmessage?.({ data: typeof event === "string" ? event : JSON.stringify(event) });
  }

  hello(more = {}) {
    this.say({ type: "hello", user_id: ME, heartbeat_interval_ms: 25_000, limits: { messages_per_second: 5 }, ...more });
  }

  drop(code = 1006, reason = "") {
    this.closed = true;
    this.onclose?.({ code, reason });
  }

  of(type) {
    return this.sent.filter((command) => command.type === type);
  }

  /** Confirms every command so far that asked for it. */
  ackAll() {
    for (const { ref } of this.sent) if (ref) this.say({ type: "ack", ref });
  }
}

/** Lets promises that are due run; pauses are the test's own (`mock.timers`). */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Lets `ms` pass on the fake clock, and what is due run. */
export async function pass(ms) {
  mock.timers.tick(ms);
  await settle();
}

/** A message as the server tells it. */
export function message(seq, more = {}) {
  const sender = { id: PEER, username: "bob", profile_picture: null };
  return { id: 1000 + seq, conversation_id: 7, seq, sender, content: `m${seq}`, client_id: null, is_read: false, ...more };
}

/** The echo of a command of ours. */
export function echo(command, seq, more = {}) {
  const sender = { id: ME, username: "alice", profile_picture: null };
  return { type: "message", message: message(seq, { sender, content: command.content, client_id: command.client_id }), ...more };
}

export function memoryStorage() {
  const held = new Map();
  return { held, getItem: (key) => held.get(key) ?? null, setItem: (key, value) => held.set(key, value) };
}

/** A bus over fake sockets, with no luck in its pauses unless the test asks for some, and a log of all it emits. */
export function makeBus(options = {}) {
  FakeSocket.all = [];
  const bus = new RealtimeBus({ WebSocket: FakeSocket, random: () => 1, ...options });
  const log = [];
  for (const name of ["state", "gave_up", "message", "outbox", "resync", "error", "typing", "auth_ok", "new_match"]) {
    bus.on(name, (event) => log.push([name, event]));
  }
  bus.seen = (name) => log.filter(([other]) => other === name).map(([, event]) => event);
  return bus;
}

/** A bus that has had its `hello`. */
export async function onlineBus(options = {}, { url = URL_CHAT, token = () => "jwt", hello = {} } = {}) {
  const bus = makeBus(options);
  bus.connect(url, token);
  await settle();
  FakeSocket.last.hello(hello);
  return bus;
}
