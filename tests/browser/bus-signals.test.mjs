// The rules of src/web/realtime-bus.js over fake sockets and a fake clock: presence, typing and read receipts.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { FakeSocket, URL_CHAT, makeBus, onlineBus, pass, settle } from "./fake-socket.mjs";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

describe("presence", () => {
  const asked = (type = "subscribe") => FakeSocket.last.of(type).map(({ user_ids }) => user_ids);

  test("is asked for by name", async () => {
    const bus = await onlineBus();
    bus.watch([2, "3"]);
    const [{ ref, ...command }] = FakeSocket.last.of("subscribe");
    assert.deepEqual(command, { type: "subscribe", subscription_type: "user_status", user_ids: [2, 3] });
  });

  test("waits for hello, and is asked for again after each reconnect", async () => {
    const bus = makeBus();
    bus.watch([2]);
    bus.connect(URL_CHAT, () => "jwt");
    await settle();
    bus.watch([3]);
    assert.deepEqual(asked(), []);
    FakeSocket.last.hello();
    assert.deepEqual(asked(), [[2, 3]]);
    FakeSocket.last.drop();
    await pass(500);
    FakeSocket.last.hello();
    assert.deepEqual(asked(), [[2, 3]]);
  });

  test("unwatch ends it, now and after a reconnect", async () => {
    const bus = await onlineBus();
    bus.watch([2, 3]);
    bus.unwatch([3, 4]);
    assert.deepEqual(asked("unsubscribe"), [[3]], "and says nothing of whom nobody watched");
    FakeSocket.last.drop();
    await pass(500);
    FakeSocket.last.hello();
    assert.deepEqual(asked(), [[2]]);
  });

  test("nobody is nothing to ask", async () => {
    const bus = await onlineBus();
    bus.watch([]);
    bus.unwatch([2]);
    assert.deepEqual(FakeSocket.last.sent, []);
  });

  test("many users are asked for 200 at a time", async () => {
    const bus = await onlineBus();
    bus.watch(Array.from({ length: 450 }, (_, index) => index + 1));
    assert.deepEqual(asked().map(({ length }) => length), [200, 200, 50]);
  });

  test("a temporary refusal is asked again, for those still wanted", async () => {
    const bus = await onlineBus();
    bus.watch([2, 3]);
    const [{ ref }] = FakeSocket.last.of("subscribe");
    FakeSocket.last.say({ type: "error", code: "busy", ref, temporary: true, retry_after_ms: 1200 });
    bus.unwatch([3]);
    await pass(1200);
    assert.deepEqual(asked(), [[2, 3], [2]]);
  });

  test("a conversation socket tells of its participants unasked", async () => {
    const bus = await onlineBus({}, { url: "ws://server.test/ws/conversations/7/" });
    bus.watch([2]);
    assert.deepEqual(asked(), []);
  });
});

describe("typing", () => {
  const told = () => FakeSocket.last.of("typing").map(({ is_typing }) => is_typing);

  test("is told at once, then at most once a second", async () => {
    const bus = await onlineBus();
    for (let key = 0; key < 40; key += 1) {
      bus.typing(7, true);
      await pass(100);
    }
    assert.deepEqual(told(), [true, true, true, true]);
  });

  test("the end is told too, if later", async () => {
    const bus = await onlineBus();
    bus.typing(7, true);
    bus.typing(7, false);
    assert.deepEqual(told(), [true]);
    await pass(1_050);
    assert.deepEqual(told(), [true, false]);
    await pass(5_000);
    assert.deepEqual(told(), [true, false]);
  });

  test("an end without a beginning is not told", async () => {
    const bus = await onlineBus();
    bus.typing(7, false);
    assert.deepEqual(told(), []);
  });

  test("is never told late, on another connection", async () => {
    const bus = await onlineBus();
    FakeSocket.last.drop();
    bus.typing(7, true);
    await pass(500);
    FakeSocket.last.hello();
    await pass(5_000);
    assert.deepEqual(told(), []);
  });

  test("what was told on a lost connection is forgotten with it", async () => {
    const bus = await onlineBus();
    bus.typing(7, true);
    FakeSocket.last.drop();
    await pass(500);
    FakeSocket.last.hello();
    bus.typing(7, false);
    assert.deepEqual(told(), []);
  });

  test("conversations do not hold each other up", async () => {
    const bus = await onlineBus();
    bus.typing(7, true);
    bus.typing(8, true);
    assert.deepEqual(FakeSocket.last.of("typing").map(({ conversation_id }) => conversation_id), [7, 8]);
  });
});

describe("read receipts", () => {
  const told = () => FakeSocket.last.of("read_receipt").map(({ message_id }) => message_id);

  test("a repeat or an older id is silent", async () => {
    const bus = await onlineBus();
    for (const id of [5, 5, 4]) bus.markRead(7, id);
    await pass(2_000);
    assert.deepEqual(told(), [5]);
  });

  test("are told at most three a second, and only the highest counts", async () => {
    const bus = await onlineBus();
    for (let id = 1; id <= 9; id += 1) bus.markRead(7, id);
    await pass(1_000);
    assert.deepEqual(told(), [1, 9]);
  });

  test("what was not confirmed is told again after a reconnect", async () => {
    const bus = await onlineBus();
    bus.markRead(7, 5);
    FakeSocket.last.drop();
    bus.markRead(8, 6);
    await pass(500);
    FakeSocket.last.hello();
    await pass(1_000);
    assert.deepEqual(told(), [5, 6]);
    FakeSocket.last.ackAll();
    FakeSocket.last.drop();
    await pass(500);
    FakeSocket.last.hello();
    await pass(1_000);
    assert.deepEqual(told(), []);
  });

  test("a temporary refusal is told again", async () => {
    const bus = await onlineBus();
    bus.markRead(7, 5);
    const [{ ref }] = FakeSocket.last.of("read_receipt");
    FakeSocket.last.say({ type: "error", code: "rate_limited", ref, temporary: true, retry_after_ms: 400 });
    await pass(400);
    assert.deepEqual(told(), [5, 5]);
  });
});
