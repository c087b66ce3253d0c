// The reference client in a real browser against the real server: what only the two together can show.
//
// FORTIFUN_BIN names the server, CHROMIUM the browser (default /usr/bin/chromium).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { DEADLINE_MS } from "./panel.mjs";
import { DemoServer } from "./server.mjs";

const BINARY = process.env.FORTIFUN_BIN;
const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SOURCE = readFileSync(new URL("../../src/web/realtime-bus.js", import.meta.url), "utf8");
const SKIP = BINARY ? false : "FORTIFUN_BIN names no server";

describe("the reference client and the server", { skip: SKIP, timeout: 180_000 }, () => {
  let server;
  let browser;

  before(async () => {
    browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
  });

  afterEach(async () => {
    for (const context of browser.contexts()) await context.close();
    await server.dispose();
  });

  after(() => browser?.close());

  async function start(...flags) {
    server = new DemoServer(BINARY, flags);
    await server.start();
  }

  /**
   * A tab with a bus of that user, online on the chat socket. `tokens` are what its identity provider gives, one after the
   * other, the last one for ever: a token, how long a new one lives, or null where the provider fails.
   */
  async function device(username, { tokens = ["1h"], options = {} } = {}) {
    const page = await browser.newPage();
    await page.goto(new URL("healthz", server.address).href);
    await page.addScriptTag({ content: SOURCE });
    await page.exposeFunction("mint", (index) => {
      const wanted = tokens[Math.min(index, tokens.length - 1)];
      return wanted === null || wanted.includes(".") ? wanted : server.token(username, wanted);
    });
    await page.evaluate(async (given) => {
      window.log = [];
      window.bus = new RealtimeBus(given);
      for (const name of ["hello", "state", "message", "token_expiring", "auth_ok", "reconnect", "user_status", "typing", "error"]) {
        bus.on(name, (event) => log.push([name, event]));
      }
      let count = 0;
      let token = null;
      window.comeOnline = () => bus.connect(`${location.origin.replace("http", "ws")}/ws/chat/`, async ({ refresh }) => {
        if (refresh || token === null) {
          const fresh = await window.mint(count++);
          if (!fresh) throw new Error("the identity provider is away");
          token = fresh;
        }
        return token;
      });
      comeOnline();
    }, options);
    const driver = new Device(page);
    await driver.is("online");
    return driver;
  }

  test("a paste of 30 messages arrives once and in order, beside a second device that spends the same allowance", async () => {
    await start();
    const [phone, tablet, bob] = [await device("alice"), await device("alice"), await device("bob")];
    const conversation = await phone.conversation();
    await bob.conversation();
    const pasted = [phone.sends(conversation, "phone", 30), tablet.sends(conversation, "tablet", 5)];
    const stored = (await Promise.all(pasted)).flat();
    assert.equal(new Set(stored.map(({ seq }) => seq)).size, 35);
    for (const { heard } of [phone, tablet, bob]) assert.equal((await heard(35)).length, 35);
    const heard = await bob.heard(35);
    assert.deepEqual(heard.map(({ seq }) => seq), heard.map((_, index) => heard[0].seq + index));
    for (const [name, count] of [["phone", 30], ["tablet", 5]]) {
      const own = heard.map(({ content }) => content).filter((content) => content.startsWith(name));
      assert.deepEqual(own, Array.from({ length: count }, (_, index) => `${name} ${index}`));
    }
    assert.deepEqual(await phone.seen("error"), []);
  });

  test("1,100 missed messages come back, once and in order, in more than one resume", async () => {
    await start("--messages-per-second", "10000", "--messages-burst", "10000", "--commands-per-second", "10000");
    const [alice, bob] = [await device("alice", { options: { outboxLimit: 2000 } }), await device("bob")];
    const conversation = await alice.conversation();
    await bob.conversation();
    await bob.page.evaluate(() => bus.close());
    await alice.sends(conversation, "missed", 1100);
    const resumes = [];
    bob.page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => {
      if (payload.includes('"resume"')) resumes.push(payload);
    }));
    await bob.page.evaluate(() => comeOnline());
    const heard = await bob.heard(1100);
    assert.equal(resumes.length, 2);
    assert.deepEqual(heard.map(({ content }) => content), Array.from({ length: 1100 }, (_, index) => `missed ${index}`));
    assert.equal(await bob.page.evaluate(() => bus.state), "online");
  });

  test("a server that is killed five times in the middle of a paste stores each message once", async () => {
    await start("--messages-per-second", "1000", "--messages-burst", "1000", "--commands-per-second", "1000");
    const [alice, bob] = [await device("alice"), await device("bob")];
    const conversation = await alice.conversation();
    await bob.conversation();
    const sent = alice.sends(conversation, "killed", 300);
    for (const count of [20, 70, 120, 170, 220]) {
      await alice.page.waitForFunction((wanted) => 300 - bus.outbox.length >= wanted, count);
      await server.kill();
      await server.start();
      for (const one of [alice, bob]) await one.comesBack();
    }
    await sent;
    const contents = Array.from({ length: 300 }, (_, index) => `killed ${index}`);
    for (const one of [alice, bob]) assert.deepEqual((await one.heard(300)).map(({ content }) => content), contents);
    const stored = await bob.page.evaluate(async (id) => {
      const path = `/api/v1/conversations/${id}/messages/?limit=200`;
      const newer = await bus.request(path);
      return [...await bus.request(`${path}&before_seq=${newer[0].seq}`), ...newer];
    }, conversation);
    assert.deepEqual(stored.slice(-300).map(({ content }) => content), contents);
    assert.deepEqual(stored.map(({ seq }) => seq), stored.map((_, index) => index + 1));
  });

  test("a token is renewed on the living connection before it ends", async () => {
    await start();
    const alice = await device("alice", { tokens: ["4s", "1h"] });
    await alice.until("auth_ok");
    const [{ token_expires_at: end }] = await alice.seen("hello");
    await alice.page.waitForFunction((ms) => Date.now() > ms + 1000, Date.parse(end));
    assert.deepEqual((await alice.states()).slice(-1), ["online"]);
    assert.equal((await alice.states()).filter((state) => state === "waiting").length, 0);
    assert.equal((await alice.seen("auth_ok")).length, 1);
  });

  test("a token that could not be renewed in time ends the connection, and a fresh one begins another", async () => {
    await start();
    const alice = await device("alice", { tokens: ["3s", null, "1h"] });
    const conversation = await alice.conversation();
    await alice.page.waitForFunction(() => log.some(([name, event]) => name === "state" && event.code === 4401));
    const [stored] = await alice.sends(conversation, "after", 1);
    assert.equal(stored.content, "after 0");
    assert.deepEqual((await alice.states()).slice(-3), ["waiting", "connecting", "online"]);
  });

  test("an expired token is refused at the door and exchanged at once", async () => {
    await start();
    const token = await server.token("alice", "1s");
    const lists = () => fetch(new URL("api/v1/conversations/", server.address), { headers: { Authorization: `Bearer ${token}` } });
    while ((await lists()).status !== 401);
    const alice = await device("alice", { tokens: [token, "1h"] });
    const states = (await alice.seen("state")).map(({ state, code, delayMs }) => [state, code, delayMs]);
    assert.deepEqual(states, [
      ["connecting", undefined, undefined], ["waiting", 4401, 0], ["connecting", undefined, undefined],
      ["online", undefined, undefined],
    ]);
  });

  test("a drained server says when to come back, and the next one finds its clients and what they wrote", async () => {
    await start("--drain-s", "2");
    const [alice, bob] = [await device("alice"), await device("bob")];
    const conversation = await alice.conversation();
    await bob.conversation();
    const drained = server.drain();
    for (const { page } of [alice, bob]) {
      await page.waitForFunction(() => log.some(([name, { delay_ms: delayMs }]) => name === "reconnect" && delayMs < 2000));
    }
    await alice.page.waitForFunction(() => log.some(([name, event]) => name === "state" && event.code === 1012));
    const sent = alice.sends(conversation, "meanwhile", 3);
    assert.equal(await drained, 0);
    await server.start();
    for (const one of [alice, bob]) await one.comesBack();
    assert.equal((await sent).length, 3);
    assert.deepEqual((await bob.heard(3)).map(({ content }) => content), ["meanwhile 0", "meanwhile 1", "meanwhile 2"]);
  });

  test("a connection that was replaced stays away until the user asks for it", async () => {
    await start("--connections-per-user", "1");
    const first = await device("alice");
    const second = await device("alice");
    await first.is("stopped");
    assert.equal((await first.seen("state")).at(-1).code, 4409);
    await second.sends(await second.conversation(), "still here", 1);
    assert.deepEqual((await first.states()).slice(-1), ["stopped"]);
    await first.page.evaluate(() => bus.retry());
    await first.is("online");
    await second.is("stopped");
  });

  test("presence is told of those who are watched, again after a reconnect, and no more once unwatched", async () => {
    await start();
    const alice = await device("alice");
    const bob = await alice.page.evaluate(async () => {
      const [{ participants }] = await bus.request("/api/v1/conversations/");
      return participants.find(({ username }) => username === "bob").id;
    });
    await alice.page.evaluate((id) => bus.watch([id]), bob);
    const told = (count, isOnline) => alice.page.waitForFunction(([wanted, online]) => {
      const all = log.filter(([name]) => name === "user_status");
      return all.length === wanted && all.at(-1)[1].is_online === online;
    }, [count, isOnline]);
    await told(1, false);
    const other = await device("bob");
    await told(2, true);
    await alice.page.evaluate(() => {
      bus.close();
      comeOnline();
    });
    await told(3, true);
    await alice.page.evaluate((id) => bus.unwatch([id]), bob);
    await alice.sends(await alice.conversation(), "unwatched by now", 1);
    await other.page.close();
    await device("bob");
    assert.equal((await alice.seen("user_status")).length, 3);
  });
});

/** A tab with a bus: what it did, and what it has heard. Every wait has a deadline. */
class Device {
  constructor(page) {
    page.setDefaultTimeout(2 * DEADLINE_MS);
    this.page = page;
    this.heard = this.heard.bind(this);
  }

  is(state) {
    return this.page.waitForFunction((wanted) => bus.state === wanted, state);
  }

  /** Waits until it is online; asks for another round of tries where the server took longer than the first. */
  comesBack() {
    return this.page.waitForFunction(() => {
      if (bus.state === "gave_up") bus.retry();
      return bus.state === "online";
    });
  }

  until(name) {
    return this.page.waitForFunction((wanted) => log.some(([other]) => other === wanted), name);
  }

  seen(name) {
    return this.page.evaluate((wanted) => log.filter(([other]) => other === wanted).map(([, event]) => event), name);
  }

  async states() {
    return (await this.seen("state")).map(({ state }) => state);
  }

  /** Follows the user's first conversation from its end on, and names it. */
  conversation() {
    return this.page.evaluate(async () => {
      const [{ id, last_seq: lastSeq }] = await bus.request("/api/v1/conversations/");
      bus.track({ [id]: lastSeq });
      return id;
    });
  }

  /** Sends `count` messages at once; resolves with them as stored. */
  sends(conversation, name, count) {
    return this.page.evaluate(([id, word, length]) => {
      return Promise.all(Array.from({ length }, (_, index) => bus.send(id, `${word} ${index}`)));
    }, [conversation, name, count]);
  }

  /** All messages heard, as soon as there are `count` or more. */
  async heard(count) {
    await this.page.waitForFunction((wanted) => log.filter(([name]) => name === "message").length >= wanted, count);
    return (await this.seen("message")).map(({ message }) => message);
  }
}
