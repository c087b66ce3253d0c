// The rules of src/web/realtime-bus.js over fake sockets and a fake clock: what travels on the connection, and what is kept.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { RealtimeBus } from "../../src/web/realtime-bus.js";
import { FakeSocket, URL_CHAT, echo, makeBus, memoryStorage, message, onlineBus, pass, settle } from "./fake-socket.mjs";

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

describe("sending", () => {
  test("resolves with the stored message, and only when its echo comes", async () => {
    const bus = await onlineBus();
    const sent = bus.send(7, "hi");
    const [command] = FakeSocket.last.of("message");
    assert.equal(command.conversation_id, 7);
    assert.match(command.client_id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(bus.outbox.map(({ content }) => content), ["hi"]);
    FakeSocket.last.say(echo(command, 1));
    assert.equal((await sent).seq, 1);
    assert.deepEqual(bus.outbox, []);
    assert.deepEqual(bus.seen("outbox").map(({ status }) => status), ["queued", "sent"]);
  });

  test("an attachment goes along", async () => {
    const bus = await onlineBus();
    bus.send(7, "look", { attachment: "https://example.org/a.png" });
    assert.equal(FakeSocket.last.of("message")[0].attachment, "https://example.org/a.png");
  });

  test("works before there is a connection", async () => {
    const bus = makeBus();
    bus.send(7, "early");
    bus.connect(URL_CHAT, () => "jwt");
    await settle();
    assert.equal(FakeSocket.last.sent.length, 0);
    FakeSocket.last.hello();
    assert.equal(FakeSocket.last.of("message")[0].content, "early");
  });

  test("an unacknowledged message is sent again with the same client_id", async () => {
    const bus = await onlineBus();
    const sent = bus.send(7, "hi");
    const [first] = FakeSocket.last.of("message");
    FakeSocket.last.drop();
    await pass(500);
    FakeSocket.last.hello();
    const [again] = FakeSocket.last.of("message");
    assert.deepEqual(again, first);
    FakeSocket.last.say(echo(again, 1, { duplicate: true }));
    assert.equal((await sent).id, 1001);
  });

  test("the answer to a repeat settles it though its seq is known", async () => {
    const bus = await onlineBus();
    bus.track({ 7: 9 });
    const sent = bus.send(7, "hi");
    FakeSocket.last.say(echo(FakeSocket.last.of("message")[0], 4, { duplicate: true }));
    assert.equal((await sent).seq, 4);
    assert.deepEqual(bus.seen("message"), [], "and is no news");
  });

  test("another user's message with the same client_id settles nothing", async () => {
    const bus = await onlineBus();
    bus.send(7, "hi");
    const { client_id } = FakeSocket.last.of("message")[0];
    FakeSocket.last.say({ type: "message", message: message(1, { client_id }) });
    assert.equal(bus.outbox.length, 1);
    FakeSocket.last.say({ type: "message", message: message(1, { client_id, conversation_id: 8, sender: { id: 1 } }) });
    assert.equal(bus.outbox.length, 1);
  });

  test("messages go one at a time and in order", async () => {
    const bus = await onlineBus();
    for (const content of ["a", "b", "c"]) bus.send(7, content);
    for (let seq = 1; seq <= 3; seq += 1) {
      assert.equal(FakeSocket.last.of("message").length, seq);
      FakeSocket.last.say(echo(FakeSocket.last.of("message").at(-1), seq));
    }
    assert.deepEqual(FakeSocket.last.of("message").map(({ content }) => content), ["a", "b", "c"]);
  });

  test("keeps to the pace of hello: 5 at once, then 5 a second", async () => {
    const bus = await onlineBus();
    for (let count = 0; count < 30; count += 1) bus.send(7, `m${count}`);
    let seq = 0;
    const answer = () => {
      while (FakeSocket.last.of("message").length > seq) FakeSocket.last.say(echo(FakeSocket.last.of("message").at(-1), ++seq));
    };
    answer();
    assert.equal(seq, 5);
    for (let step = 0; step < 10; step += 1) {
      await pass(200);
      answer();
    }
    assert.equal(seq, 15);
  });

  test("a temporary refusal is tried again after retry_after_ms, before any later message", async () => {
    const bus = await onlineBus({ random: () => 0 });
    const sent = bus.send(7, "a");
    bus.send(7, "b");
    const { client_id } = FakeSocket.last.of("message")[0];
    FakeSocket.last.say({ type: "error", code: "busy", client_id, temporary: true, retry_after_ms: 700 });
    await pass(699);
    assert.equal(FakeSocket.last.of("message").length, 1);
    await pass(1);
    assert.equal(FakeSocket.last.of("message")[1].client_id, client_id);
    FakeSocket.last.say(echo(FakeSocket.last.of("message")[1], 1));
    assert.equal((await sent).seq, 1);
  });

  test("refusals in a row are met with growing pauses", async () => {
    const bus = await onlineBus();
    bus.send(7, "a");
    const pauses = [];
    for (let round = 1; round <= 4; round += 1) {
      const { client_id } = FakeSocket.last.of("message").at(-1);
      FakeSocket.last.say({ type: "error", code: "rate_limited", client_id, temporary: true, retry_after_ms: 10 });
      let waited = 0;
      while (FakeSocket.last.of("message").length === round) {
        await pass(500);
        waited += 500;
      }
      pauses.push(waited);
    }
    assert.deepEqual(pauses, [1000, 2000, 4000, 8000]);
    FakeSocket.last.say(echo(FakeSocket.last.of("message").at(-1), 1));
    bus.send(7, "b");
    const { client_id } = FakeSocket.last.of("message").at(-1);
    FakeSocket.last.say({ type: "error", code: "rate_limited", client_id, temporary: true, retry_after_ms: 10 });
    await pass(1000);
    assert.equal(FakeSocket.last.of("message").length, 7, "a stored message ends the row");
  });

  test("a permanent refusal rejects with the server's code, and the next message goes", async () => {
    const bus = await onlineBus();
    const sent = bus.send(7, "a");
    bus.send(7, "b");
    const { client_id } = FakeSocket.last.of("message")[0];
    FakeSocket.last.say({ type: "error", code: "forbidden", message: "blocked", client_id, temporary: false });
    await assert.rejects(sent, { code: "forbidden", message: "blocked" });
    assert.equal(bus.seen("outbox").at(-1).status, "failed");
    assert.equal(FakeSocket.last.of("message")[1].content, "b");
    assert.deepEqual(bus.seen("error"), [], "it was told to whoever sent it");
  });

  test("a message without any answer is sent again on the living connection", async () => {
    const bus = await onlineBus();
    bus.send(7, "a");
    await pass(15_000);
    const [first, second] = FakeSocket.last.of("message");
    assert.equal(second.client_id, first.client_id);
  });

  test("the outbox is bounded", async () => {
    const bus = makeBus({ outboxLimit: 2 });
    bus.send(7, "a");
    bus.send(7, "b");
    await assert.rejects(bus.send(7, "c"), { code: "outbox_full" });
    assert.equal(new RealtimeBus().options.outboxLimit, 1000);
  });

  test("close() rejects what is waiting, and later sends", async () => {
    const bus = await onlineBus();
    const sent = bus.send(7, "a");
    bus.close();
    await assert.rejects(sent, { code: "closed" });
    await assert.rejects(bus.send(7, "b"), { code: "closed" });
  });

  test("client ids need no secure context", async () => {
    const own = Object.getOwnPropertyDescriptor(globalThis, "crypto");
    try {
      for (const crypto of [{ getRandomValues: (bytes) => own.get.call(globalThis).getRandomValues(bytes) }, undefined]) {
        Object.defineProperty(globalThis, "crypto", { configurable: true, value: crypto });
        const bus = makeBus();
        bus.send(7, "a");
        bus.send(7, "b");
        const [a, b] = bus.outbox.map(({ clientId }) => clientId);
        assert.match(a, /^[0-9a-f]{32}$/);
        assert.notEqual(a, b);
      }
    } finally {
      Object.defineProperty(globalThis, "crypto", own);
    }
  });
});

describe("resume", () => {
  const say = (seq, more) => FakeSocket.last.say({ type: "new_message", conversation_id: 7, message: message(seq, more) });
  const resumed = (last_seq, complete = true) => {
    FakeSocket.last.ackAll();
    FakeSocket.last.say({ type: "resumed", conversation_id: 7, last_seq, complete });
  };
  const seqs = (bus) => bus.seen("message").map(({ message: { seq } }) => seq);

  test("a known seq is ignored, whichever event brought it", async () => {
    const bus = await onlineBus();
    say(1);
    say(1);
    FakeSocket.last.say({ type: "message", message: message(1) });
    say(2);
    assert.deepEqual(seqs(bus), [1, 2]);
  });

  test("a message without a seq is passed on", async () => {
    const bus = await onlineBus();
    say(undefined);
    assert.equal(bus.seen("message").length, 1);
  });

  test("after a reconnect the chat socket asks for what came after each last seq", async () => {
    await onlineBus();
    say(4);
    FakeSocket.last.say({ type: "message", message: message(9, { conversation_id: 8 }) });
    FakeSocket.last.drop();
    await pass(500);
    FakeSocket.last.hello();
    assert.deepEqual(FakeSocket.last.of("resume").map(({ after }) => after), [{ 7: 4, 8: 9 }]);
  });

  test("a conversation socket asks with after_seq, and names no conversation", async () => {
    const bus = await onlineBus({}, { url: "ws://server.test/ws/conversations/7/" });
    bus.track({ 3: 1, 7: 3 });
    bus.send(7, "hi");
    bus.typing(7, true);
    bus.markRead(7, 1);
    const [resume] = FakeSocket.last.of("resume");
    assert.equal(resume.after_seq, 3);
    assert.equal(FakeSocket.last.of("resume").length, 1);
    for (const command of FakeSocket.last.sent) assert.ok(!("conversation_id" in command) && !("after" in command));
  });

  test("a gap is noticed, filled in order, and asked for once", async () => {
    const bus = await onlineBus();
    say(1);
    say(4);
    say(5);
    assert.deepEqual(FakeSocket.last.of("resume").map(({ after }) => after), [{ 7: 1 }]);
    for (const seq of [2, 3, 4, 5]) say(seq);
    resumed(5);
    say(6);
    assert.deepEqual(seqs(bus), [1, 2, 3, 4, 5, 6]);
    assert.equal(FakeSocket.last.of("resume").length, 1);
  });

  test("a live message that overtook the answer is asked for again", async () => {
    const bus = await onlineBus();
    say(1);
    say(4); // resume asked from 1
    say(2);
    say(3);
    resumed(3); // read before 4 was stored
    assert.deepEqual(FakeSocket.last.of("resume").map(({ after }) => after[7]), [1, 3]);
    say(4);
    resumed(4);
    assert.deepEqual(seqs(bus), [1, 2, 3, 4]);
  });

  test("an incomplete answer is followed by another resume from where it ended", async () => {
    const bus = await onlineBus();
    say(1);
    say(9);
    say(2);
    say(3);
    resumed(9, false);
    assert.deepEqual(FakeSocket.last.of("resume").map(({ after }) => after[7]), [1, 3]);
    for (let seq = 4; seq <= 9; seq += 1) say(seq);
    resumed(9);
    assert.deepEqual(seqs(bus), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.deepEqual(bus.seen("resync"), []);
  });

  test("an incomplete answer is followed up even if nothing came live meanwhile", async () => {
    const bus = await onlineBus();
    bus.track({ 7: 1 });
    say(2);
    say(3);
    resumed(9, false);
    assert.deepEqual(FakeSocket.last.of("resume").map(({ after }) => after[7]), [1, 3]);
  });

  test("an answer without progress ends in resync, not in a loop", async () => {
    const bus = await onlineBus();
    say(1);
    say(9);
    resumed(9, false);
    assert.equal(FakeSocket.last.of("resume").length, 1);
    assert.deepEqual(bus.seen("resync"), [{ conversationIds: [7] }]);
  });

  test("a count that went back (another store) is believed", async () => {
    const bus = await onlineBus();
    bus.track({ 7: 50 });
    resumed(3);
    assert.deepEqual(bus.seen("resync"), [{ conversationIds: [7] }]);
    say(4);
    assert.deepEqual(seqs(bus), [4]);
  });

  test("a live message before the answer of a resume that found nothing is not doubt", async () => {
    const bus = await onlineBus();
    bus.track({ 7: 3 });
    say(4);
    resumed(3);
    say(5);
    assert.deepEqual(seqs(bus), [4, 5]);
    assert.deepEqual(bus.seen("resync"), []);
  });

  test("a temporary refusal is asked again, a permanent one ends in resync", async () => {
    const bus = await onlineBus();
    bus.track({ 7: 3 });
    const [{ ref }] = FakeSocket.last.of("resume");
    FakeSocket.last.say({ type: "error", code: "busy", ref, temporary: true, retry_after_ms: 300 });
    await pass(300);
    assert.equal(FakeSocket.last.of("resume").length, 2);
    FakeSocket.last.say({ type: "error", code: "forbidden", ref: FakeSocket.last.of("resume")[1].ref, temporary: false });
    assert.deepEqual(bus.seen("resync"), [{ conversationIds: [7] }]);
    FakeSocket.last.drop();
    await pass(500);
    FakeSocket.last.hello();
    assert.equal(FakeSocket.last.of("resume").length, 0);
  });

  test("a resume without any answer is asked again", async () => {
    const bus = await onlineBus();
    bus.track({ 7: 3 });
    await pass(15_000);
    assert.equal(FakeSocket.last.of("resume").length, 2);
    FakeSocket.last.ackAll();
    await pass(16_000);
    assert.equal(FakeSocket.last.of("resume").length, 2, "an answered one is not");
  });

  test("track never moves a conversation that is followed already", async () => {
    const bus = await onlineBus();
    say(2);
    bus.track({ 7: 9 });
    say(3);
    assert.deepEqual(seqs(bus), [2, 3]);
  });

  test("many conversations are asked for a hundred at a time, each after the answer to the one before", async () => {
    const bus = await onlineBus();
    bus.track(Object.fromEntries(Array.from({ length: 250 }, (_, index) => [index + 1, 1])));
    const asked = () => FakeSocket.last.of("resume").map(({ after }) => Object.keys(after).length);
    for (const sizes of [[100], [100, 100], [100, 100, 50]]) {
      assert.deepEqual(asked(), sizes);
      FakeSocket.last.say({ type: "ack", ref: FakeSocket.last.of("resume").at(-1).ref });
    }
    assert.deepEqual(asked(), [100, 100, 50]);
  });

  test("what the server could not read is asked again after its pause, and is no reason to read the history", async () => {
    const bus = await onlineBus();
    bus.track({ 7: 3 });
    const [{ ref }] = FakeSocket.last.of("resume");
    FakeSocket.last.say({ type: "error", code: "store_unavailable", ref, temporary: true, retry_after_ms: 900 });
    FakeSocket.last.say({ type: "resumed", conversation_id: 7, last_seq: 3, complete: false });
    say(5);
    await pass(900);
    assert.deepEqual(FakeSocket.last.of("resume").map(({ after }) => after), [{ 7: 3 }, { 7: 3 }]);
    say(4);
    say(5);
    resumed(5);
    assert.deepEqual(seqs(bus), [4, 5]);
    assert.deepEqual(bus.seen("resync"), []);
  });
});

describe("storage", () => {
  test("the outbox and the positions outlive a reload", async () => {
    const storage = memoryStorage();
    const before = await onlineBus({ storage, storageKey: "u1" });
    FakeSocket.last.say({ type: "message", message: message(3) });
    before.send(7, "unsent");
    const { client_id } = FakeSocket.last.of("message")[0];

    const after = makeBus({ storage, storageKey: "u1" });
    assert.deepEqual(after.outbox.map(({ content }) => content), ["unsent"]);
    after.connect(URL_CHAT, () => "jwt");
    await settle();
    FakeSocket.last.hello();
    assert.deepEqual(FakeSocket.last.of("resume")[0].after, { 7: 3 });
    assert.equal(FakeSocket.last.of("message")[0].client_id, client_id);
    FakeSocket.last.say(echo(FakeSocket.last.of("message")[0], 4));
    assert.deepEqual(after.seen("outbox").map(({ status }) => status), ["sent"]);
    assert.deepEqual(makeBus({ storage, storageKey: "u1" }).outbox, []);
  });

  test("close() leaves the stored outbox for the next time", async () => {
    const storage = memoryStorage();
    const bus = await onlineBus({ storage });
    bus.send(7, "unsent").catch(() => {});
    bus.close();
    assert.equal(makeBus({ storage }).outbox.length, 1);
  });

  test("users do not share a key", () => {
    const storage = memoryStorage();
    makeBus({ storage, storageKey: "u1" }).send(7, "mine");
    assert.deepEqual(makeBus({ storage, storageKey: "u2" }).outbox, []);
  });

  test("a damaged or full storage is no harm", async (t) => {
    t.mock.method(console, "warn", () => {});
    const storage = { getItem: () => "{broken", setItem: () => { throw new Error("quota"); } };
    const bus = await onlineBus({ storage });
    const sent = bus.send(7, "a");
    FakeSocket.last.say(echo(FakeSocket.last.of("message")[0], 1));
    assert.equal((await sent).seq, 1);
  });
});
