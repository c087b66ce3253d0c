// The rules of src/web/realtime-bus.js over fake sockets and a fake clock: the connection, and what keeps it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { parse } from "acorn";
import { FakeSocket, PEER, URL_CHAT, makeBus, message, onlineBus, pass, settle } from "./fake-socket.mjs";

const SOURCE = readFileSync(new URL("../../src/web/realtime-bus.js", import.meta.url), "utf8");

beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
afterEach(() => mock.timers.reset());

/** Fails every attempt until the bus waits no more; returns the pauses that it announced. */
async function failUntilQuiet(bus, code = 1006) {
  for (let round = 0; round < 50 && bus.state !== "gave_up" && bus.state !== "stopped"; round += 1) {
    if (bus.state === "waiting") await pass(bus.seen("state").at(-1).delayMs);
    else FakeSocket.last.drop(code);
    await settle();
  }
  return bus.seen("state").filter(({ state }) => state === "waiting").map(({ delayMs }) => delayMs);
}

describe("the file", () => {
  test("is plain ES2020", () => {
    parse(SOURCE, { ecmaVersion: 2020, sourceType: "script" });
  });

  test("defines one global in a page", () => {
    const page = {};
    new Function("globalThis", "module", SOURCE)(page, undefined);
    assert.deepEqual(Object.keys(page), ["RealtimeBus"]);
  });
});

describe("connecting", () => {
  test("offers the subprotocol and the token beside it", async () => {
    const bus = await onlineBus();
    assert.equal(FakeSocket.last.url, URL_CHAT);
    assert.deepEqual(FakeSocket.last.protocols, ["fortifun.v1", "bearer.jwt"]);
    assert.equal(bus.state, "online");
  });

  test("is not online before hello", async () => {
    const bus = makeBus();
    bus.connect(URL_CHAT, () => "jwt");
    await settle();
    assert.equal(bus.state, "connecting");
  });

  test("a socket without hello is given up after the handshake timeout", async () => {
    const bus = makeBus();
    bus.connect(URL_CHAT, () => "jwt");
    await settle();
    await pass(10_000);
    assert.equal(bus.state, "waiting");
    assert.ok(FakeSocket.last.closed);
  });

  test("a token that comes after close() opens nothing", async () => {
    const bus = makeBus();
    let give;
    bus.connect(URL_CHAT, () => new Promise((resolve) => { give = resolve; }));
    bus.close();
    give("jwt");
    await settle();
    assert.equal(FakeSocket.all.length, 0);
    assert.equal(bus.state, "closed");
  });

  test("without a token it stops", async () => {
    const bus = makeBus();
    bus.connect(URL_CHAT, () => null);
    await settle();
    assert.equal(bus.state, "stopped");
    assert.equal(bus.seen("state").at(-1).code, "no_token");
  });

  test("a token provider that throws counts as a try", async () => {
    const bus = makeBus({ maxTries: 3 });
    bus.connect(URL_CHAT, () => { throw new Error("offline"); });
    await settle();
    assert.equal((await failUntilQuiet(bus)).length, 2);
    assert.equal(bus.state, "gave_up");
  });

  test("close() closes the socket and nothing reconnects", async () => {
    const bus = await onlineBus();
    bus.close();
    await pass(60_000);
    assert.ok(FakeSocket.last.closed);
    assert.equal(FakeSocket.all.length, 1);
  });

  test("a closed bus can connect again", async () => {
    const bus = await onlineBus();
    bus.close();
    bus.connect(URL_CHAT, () => "jwt");
    await settle();
    FakeSocket.last.hello();
    assert.equal(bus.state, "online");
  });

  test("what an abandoned socket still says is not heard", async () => {
    const bus = await onlineBus();
    const old = FakeSocket.last;
    const { onmessage, onclose } = old;
    bus.connect(URL_CHAT, () => "jwt");
    await settle();
    FakeSocket.last.hello();
    onmessage({ data: JSON.stringify({ type: "message", message: message(1) }) });
    onclose({ code: 1006, reason: "" });
    assert.deepEqual(bus.seen("message"), []);
    assert.equal(bus.state, "online");
  });
});

describe("backoff", () => {
  test("doubles its ceiling from 500 ms and gives up after 5 tries", async () => {
    const bus = await onlineBus();
    assert.deepEqual(await failUntilQuiet(bus), [500, 1000, 2000, 4000, 8000]);
    assert.equal(bus.state, "gave_up");
    assert.equal(FakeSocket.all.length, 1 + 5);
    assert.equal(bus.seen("gave_up").length, 1);
  });

  test("never passes 30 s", async () => {
    const bus = await onlineBus({ maxTries: 12 });
    assert.equal(Math.max(...(await failUntilQuiet(bus))), 30_000);
  });

  test("is full jitter: anything from nothing to the ceiling", async () => {
    const bus = await onlineBus({ random: () => 0 });
    assert.deepEqual(await failUntilQuiet(bus), [0, 0, 0, 0, 0]);
    const other = await onlineBus({ random: () => 0.5 });
    assert.deepEqual(await failUntilQuiet(other), [250, 500, 1000, 2000, 4000]);
  });

  test("a hello resets the count", async () => {
    const bus = await onlineBus();
    for (let round = 0; round < 20; round += 1) {
      FakeSocket.last.drop();
      await pass(500);
      FakeSocket.last.hello();
      assert.equal(bus.state, "online");
    }
  });

  test("retry() begins anew at once", async () => {
    const bus = await onlineBus();
    await failUntilQuiet(bus);
    bus.retry();
    await settle();
    FakeSocket.last.hello();
    assert.equal(bus.state, "online");
  });

  test("retry() has all its tries before it", async () => {
    const bus = await onlineBus();
    const first = await failUntilQuiet(bus);
    bus.retry();
    await settle();
    assert.deepEqual((await failUntilQuiet(bus)).slice(first.length), [1000, 2000, 4000, 8000]);
  });

  test("retry() does not disturb a living connection", async () => {
    const bus = await onlineBus();
    bus.retry();
    await settle();
    assert.equal(FakeSocket.all.length, 1);
  });

  test("the delay of a reconnect event replaces the first pause, and only that", async () => {
    const bus = await onlineBus();
    FakeSocket.last.say({ type: "reconnect", reason: "drain", delay_ms: 1234 });
    assert.equal(bus.state, "online", "it stays until the server closes");
    assert.deepEqual((await failUntilQuiet(bus, 1012)).slice(0, 2), [1234, 1000]);
  });

  test("that delay counts from the event, not from the close", async () => {
    const bus = await onlineBus();
    FakeSocket.last.say({ type: "reconnect", reason: "drain", delay_ms: 1234 });
    await pass(400);
    FakeSocket.last.drop(1012);
    assert.equal(bus.seen("state").at(-1).delayMs, 834);
  });

  test("a delay that is over by then leaves the usual pause", async () => {
    const bus = await onlineBus();
    FakeSocket.last.say({ type: "reconnect", reason: "drain", delay_ms: 1234 });
    await pass(5_000);
    FakeSocket.last.drop(1012);
    assert.equal(bus.seen("state").at(-1).delayMs, 500);
  });
});

describe("close codes", () => {
  for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 4408, 4480]) {
    test(`${code} reconnects`, async () => {
      const bus = await onlineBus();
      FakeSocket.last.drop(code);
      assert.equal(bus.state, "waiting");
      await pass(500);
      assert.equal(FakeSocket.all.length, 2);
    });
  }

  for (const code of [1000, 1002, 1007, 1009, 4400, 4403, 4404, 4409]) {
    test(`${code} stops`, async () => {
      const bus = await onlineBus();
      FakeSocket.last.drop(code, "why");
      assert.equal(bus.state, "stopped");
      assert.deepEqual(bus.seen("state").at(-1), { state: "stopped", code, reason: "why" });
      await pass(60_000);
      assert.equal(FakeSocket.all.length, 1);
    });
  }

  test("4401 refreshes the token and reconnects at once", async () => {
    const asked = [];
    const token = ({ refresh }) => {
      asked.push(refresh);
      return refresh ? "fresh" : "stale";
    };
    await onlineBus({}, { token });
    FakeSocket.last.drop(4401);
    await pass(0);
    assert.deepEqual(asked, [false, true]);
    assert.deepEqual(FakeSocket.last.protocols, ["fortifun.v1", "bearer.fresh"]);
    FakeSocket.last.hello();
    FakeSocket.last.drop(1006);
    await pass(500);
    assert.deepEqual(asked, [false, true, false], "a token that was taken is not refreshed again");
  });

  test("a token that is refused for ever is not asked for in a hot loop", async () => {
    const bus = makeBus();
    bus.connect(URL_CHAT, () => "bad");
    await settle();
    assert.deepEqual(await failUntilQuiet(bus, 4401), [0, 2000, 4000, 8000]);
    assert.equal(bus.state, "gave_up");
  });

  test("4429 waits long", async () => {
    const bus = await onlineBus({ random: () => 0 });
    FakeSocket.last.drop(4429);
    assert.equal(bus.seen("state").at(-1).delayMs, 15_000);
  });
});

describe("liveness", () => {
  test("a silent socket is pinged after a heartbeat and lost without an answer", async () => {
    const bus = await onlineBus();
    await pass(24_999);
    assert.equal(FakeSocket.last.of("ping").length, 0);
    await pass(1);
    assert.equal(FakeSocket.last.of("ping").length, 1);
    await pass(10_000);
    assert.equal(bus.state, "waiting");
    assert.ok(FakeSocket.last.closed);
  });

  test("a pong keeps it", async () => {
    const bus = await onlineBus();
    for (let round = 0; round < 5; round += 1) {
      await pass(25_000);
      FakeSocket.last.say({ type: "pong" });
    }
    assert.equal(bus.state, "online");
    assert.equal(FakeSocket.last.of("ping").length, 5);
  });

  test("anything heard postpones the ping", async () => {
    await onlineBus();
    await pass(20_000);
    FakeSocket.last.say({ type: "system_alert", data: {} });
    await pass(20_000);
    assert.equal(FakeSocket.last.of("ping").length, 0);
  });
});

describe("tokens on a living connection", () => {
  test("token_expiring sends a fresh one in-band", async () => {
    const bus = await onlineBus({}, { token: ({ refresh }) => (refresh ? "fresh" : "stale") });
    FakeSocket.last.say({ type: "token_expiring" });
    await settle();
    assert.deepEqual(FakeSocket.last.of("auth"), [{ type: "auth", token: "fresh" }]);
    FakeSocket.last.say({ type: "auth_ok", expires_at: "2030-01-01T00:00:00Z" });
    assert.equal(bus.seen("auth_ok").length, 1);
  });

  test("tokens that live shorter than the notice are renewed every 5 s, not in a hot loop", async () => {
    await onlineBus({}, { token: () => "short" });
    for (let notice = 0; notice < 4; notice += 1) FakeSocket.last.say({ type: "token_expiring" });
    await settle();
    assert.equal(FakeSocket.last.of("auth").length, 1);
    await pass(5_000);
    assert.equal(FakeSocket.last.of("auth").length, 2);
    await pass(5_000);
    assert.equal(FakeSocket.last.of("auth").length, 2, "without a further notice there is nothing to renew");
  });

  test("a refresh that fails leaves the connection alone", async () => {
    const bus = await onlineBus({}, { token: ({ refresh }) => { if (refresh) throw new Error("offline"); return "jwt"; } });
    FakeSocket.last.say({ type: "token_expiring" });
    await settle();
    assert.equal(bus.state, "online");
    assert.equal(FakeSocket.last.of("auth").length, 0);
  });

  test("a fresh token that comes after the connection is lost is not sent to the next one", async () => {
    let give;
    await onlineBus({}, { token: ({ refresh }) => (refresh ? new Promise((resolve) => { give = resolve; }) : "jwt") });
    FakeSocket.last.say({ type: "token_expiring" });
    await settle();
    FakeSocket.last.drop();
    await pass(500);
    FakeSocket.last.hello();
    give("fresh");
    await settle();
    assert.equal(FakeSocket.last.of("auth").length, 0);
  });
});

describe("events", () => {
  test("every other event is emitted under its type, until its listener is taken off", async () => {
    const bus = await onlineBus();
    const heard = [];
    const off = bus.on("user_status", (event) => heard.push(event.user_id));
    FakeSocket.last.say({ type: "user_status", user_id: PEER });
    off();
    FakeSocket.last.say({ type: "user_status", user_id: 3 });
    assert.deepEqual(heard, [PEER]);
  });

  test("an error that no command of the bus explains is emitted", async () => {
    const bus = await onlineBus();
    FakeSocket.last.say({ type: "error", code: "invalid_json" });
    assert.equal(bus.seen("error").length, 1);
  });

  test("a listener that throws harms nobody", async (t) => {
    const complaint = t.mock.method(console, "error", () => {});
    const bus = makeBus();
    bus.on("state", () => { throw new Error("mine"); });
    bus.connect(URL_CHAT, () => "jwt");
    await settle();
    FakeSocket.last.hello();
    assert.equal(bus.state, "online");
    assert.ok(complaint.mock.callCount() > 0);
  });

  test("what is not JSON is survived", async () => {
    const bus = await onlineBus();
    FakeSocket.last.say("{nonsense");
    FakeSocket.last.say("null");
    assert.equal(bus.state, "online");
  });
});

describe("request", () => {
  const answers = (...list) => {
    const calls = [];
    const fetch = async (url, init) => {
      calls.push({ url: String(url), ...init });
      const { status, body } = list.shift();
      return { status, ok: status < 400, json: async () => body };
    };
    return { fetch, calls };
  };

  test("asks the socket's own server with the token", async () => {
    const { fetch, calls } = answers({ status: 201, body: { ok: 1 } });
    const bus = await onlineBus({ fetch });
    assert.deepEqual(await bus.request("/api/v1/x/", { method: "POST", body: { a: 1 } }), { ok: 1 });
    assert.equal(calls[0].url, "http://server.test/api/v1/x/");
    assert.equal(calls[0].headers.Authorization, "Bearer jwt");
    assert.equal(calls[0].body, '{"a":1}');
  });

  test("refreshes the token once on 401", async () => {
    const { fetch, calls } = answers({ status: 401 }, { status: 200, body: [] });
    const bus = await onlineBus({ fetch }, { token: ({ refresh }) => (refresh ? "fresh" : "stale") });
    await bus.request("/api/v1/x/");
    assert.deepEqual(calls.map(({ headers }) => headers.Authorization), ["Bearer stale", "Bearer fresh"]);
  });

  test("a second 401 is an error, as is any other refusal, with status and code", async () => {
    const problem = { status: 401, body: { code: "token_invalid", detail: "no" } };
    const { fetch } = answers(problem, problem, { status: 503, body: {} });
    const bus = await onlineBus({ fetch });
    await assert.rejects(bus.request("/x"), { status: 401, code: "token_invalid", message: "no" });
    await assert.rejects(bus.request("/x"), { status: 503, code: "http" });
  });
});
