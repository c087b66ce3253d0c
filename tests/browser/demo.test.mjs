// The demo page in a real browser against the real server: `FORTIFUN_BIN` names its binary.
//
// CHROMIUM names the browser (default /usr/bin/chromium); screenshots go to BROWSER_SHOTS (default target/browser).

import assert from "node:assert/strict";
import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { DEADLINE_MS, PanelDriver } from "./panel.mjs";
import { DemoServer } from "./server.mjs";

const BINARY = process.env.FORTIFUN_BIN;
const BROWSER = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SHOTS = process.env.BROWSER_SHOTS ?? fileURLToPath(new URL("../../target/browser", import.meta.url));
const SKIP = BINARY ? false : "FORTIFUN_BIN names no server";

describe("the demo page", { skip: SKIP, timeout: 180_000 }, () => {
  let server;
  let browser;
  let page;
  let left;
  let right;
  const complaints = []; // what the console or the page itself reported as an error
  const foreign = []; // requests to anywhere but the server

  /** A tab of its own, watched for complaints and for requests to anybody else. */
  async function openPage() {
    const opened = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    opened.setDefaultTimeout(DEADLINE_MS);
    opened.on("pageerror", (error) => complaints.push(String(error)));
    opened.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
    const watch = (url) => url.startsWith("data:") || new URL(url).host === new URL(server.address).host || foreign.push(url);
    opened.on("request", (request) => watch(request.url()));
    opened.on("websocket", (socket) => watch(socket.url()));
    return opened;
  }

  const shot = (name) => page.screenshot({ path: join(SHOTS, `${name}.png`) });

  before(async () => {
    await access(BINARY);
    await mkdir(SHOTS, { recursive: true });
    server = new DemoServer(BINARY);
    const address = await server.start();
    browser = await chromium.launch({ executablePath: BROWSER, args: ["--no-sandbox"] });
    page = await openPage();
    await page.goto(address);
    [left, right] = [new PanelDriver(page, 0), new PanelDriver(page, 1)];
  });

  after(async () => {
    await browser?.close();
    await server?.dispose();
  });

  test("two users connect, and see their match and its history", async () => {
    await left.becomes("Alice");
    await right.becomes("Bob");
    await left.opens("bob");
    await right.opens("alice");
    await left.at("message").first().waitFor();
    await shot("1-history");
    const [mine, theirs] = [await left.thread(), await right.thread()];
    assert.ok(mine.length > 0);
    assert.deepEqual(mine.map(({ text }) => text), theirs.map(({ text }) => text));
  });

  test("each sees that the other is there", async () => {
    for (const panel of [left, right]) {
      await panel.root.locator("[data-testid=peer-presence][data-online=true]").waitFor();
    }
  });

  test("messages go both ways", async () => {
    await left.says("Coffee on Saturday?");
    await right.sees("Coffee on Saturday?", "received");
    await right.says("Gladly. <b>Ten</b> & in the park?");
    await left.sees("Gladly. <b>Ten</b> & in the park?", "received");
    assert.equal(await left.root.locator("[data-testid=content] b").count(), 0, "text is text");
  });

  test("typing shows on the other side and ends with the message", async () => {
    await right.types("I will bring");
    await left.seesTyping("Bob");
    await shot("2-typing");
    await right.says("I will bring cake");
    await left.sees("I will bring cake", "received");
    await left.at("typing").getByText("typing").waitFor({ state: "detached" });
    assert.equal(await left.at("typing").textContent(), "");
  });

  test("a message has one tick when it is stored and two when it is read", async () => {
    await right.closesConversation();
    await left.says("Are you still there?");
    await left.sees("Are you still there?", "sent");
    const badge = right.conversation("alice").getByTestId("unread");
    await badge.waitFor();
    assert.equal(await badge.textContent(), "1");
    await shot("3-unread");
    await right.opens("alice");
    await left.sees("Are you still there?", "read");
    await badge.waitFor({ state: "detached" });
  });

  test("a like becomes a match on both sides", async () => {
    await right.becomes("Carol");
    await left.suggestion("carol").getByTestId("like").click();
    await left.at("match-toast").getByText("Carol").waitFor();
    await right.at("match-toast").getByText("Alice").waitFor();
    await shot("4-match");
    await left.at("say-hello").click();
    await right.at("say-hello").click();
    await left.says("Hello Carol");
    await right.sees("Hello Carol", "received");
    await left.sees("Hello Carol", "read");
    assert.equal(await left.suggestion("carol").count(), 0);
  });

  test("a killed server loses nothing and doubles nothing", async () => {
    const lines = ["stored before the end", "in the air 1", "in the air 2", "written while it was gone", "and one more"];
    await left.says(lines[0]);
    await right.sees(lines[0], "received");
    const before = await left.thread();

    server.freeze();
    await left.says(lines[1]);
    await left.says(lines[2]);
    await left.sees(lines[2], "queued");
    await server.kill();
    await left.hasState("waiting", "connecting", "gave_up");
    await right.hasState("waiting", "connecting", "gave_up");
    await left.says(lines[3]);
    await left.sees(lines[3], "queued");
    await left.says(lines[4]);
    await left.types("half a sentence");
    await shot("5-server-gone");

    await server.start();
    await left.isOnline(30_000);
    await right.isOnline(30_000);
    for (const line of lines) {
      await right.sees(line, "received");
      await left.sees(line, "read");
    }
    await shot("6-server-back");

    assert.equal(await left.at("composer-input").inputValue(), "half a sentence");
    const [mine, theirs] = [await left.thread(), await right.thread()];
    assert.deepEqual(mine.map(({ text }) => text), [...before.map(({ text }) => text), ...lines.slice(1)]);
    assert.deepEqual(theirs.map(({ text }) => text), mine.map(({ text }) => text));
    assert.deepEqual(mine.map(({ seq }) => seq), mine.map((_, index) => mine[0].seq + index), "seq has no holes");
  });

  test("what the page shows is what the server holds", async () => {
    const shown = [await left.thread(), await right.thread()];
    await page.reload();
    await left.isOnline();
    await left.becomes("Alice");
    await right.becomes("Carol");
    await left.opens("carol");
    await right.opens("alice");
    for (const [index, panel] of [left, right].entries()) {
      await panel.sees("and one more");
      assert.deepEqual(await panel.thread(), shown[index]);
    }
  });

  test("it works on a narrow screen and in the dark", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    await shot("7-dark");
    await page.setViewportSize({ width: 390, height: 844 });
    await left.at("back").click();
    await left.conversation("bob").waitFor();
    assert.ok(await left.at("composer").isHidden());
    await shot("8-narrow");
    await left.opens("carol");
    await shot("8-narrow-chat");
    await page.emulateMedia({ colorScheme: "light" });
    await shot("8-narrow-light");
    await left.closesConversation();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(overflow <= 0, `${overflow} px too wide`);
  });

  test("the keyboard alone is enough, and every control has a name", async () => {
    await left.conversation("bob").focus();
    await page.keyboard.press("Enter");
    await left.at("composer-input").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.dataset.testid), "composer-input");
    const nameless = await page.locator("button:visible, select:visible, textarea:visible, input:visible").evaluateAll(
      (controls) => controls.filter((control) => {
        const label = control.ariaLabel || control.textContent.trim() || control.labels?.[0]?.textContent.trim();
        return !label;
      }).map((control) => control.outerHTML));
    assert.deepEqual(nameless, []);
  });

  test("a refused message says so and can be tried again", async () => {
    const other = await openPage();
    let refusals = 1;
    await other.routeWebSocket(/\/ws\/chat\//, (client) => {
      const upstream = client.connectToServer();
      client.onMessage((text) => {
        const { type, client_id } = JSON.parse(text);
        if (type !== "message" || refusals === 0) return upstream.send(text);
        refusals -= 1;
        client.send(JSON.stringify({ type: "error", code: "forbidden", message: "not now", client_id, temporary: false }));
      });
    });
    await other.goto(server.address);
    const panel = new PanelDriver(other, 0);
    await panel.becomes("Alice");
    await panel.opens("bob");
    await panel.says("Once more");
    await panel.sees("Once more", "failed");
    await panel.message("Once more").getByText("not now").waitFor();
    await panel.at("resend").click();
    await panel.sees("Once more", "sent");
    assert.equal(await panel.message("Once more").count(), 1);
    await other.close();
  });

  test("without demo users it asks for two tokens", async () => {
    const other = await openPage();
    await other.context().grantPermissions(["local-network-access"]); // a page from the test counts as a stranger's
    let users;
    await other.route(server.address, async (route) => {
      const response = await route.fetch();
      const html = await response.text();
      const config = /(<script type="application\/json" id="demo">)([^<]*)/;
      users = JSON.parse(config.exec(html)[2]).users;
      await route.fulfill({ response, body: html.replace(config, "$1<!--DEMO_CONFIG-->") });
    });
    await other.goto(server.address);
    await other.getByTestId("tokens-submit").waitFor();
    await other.screenshot({ path: join(SHOTS, "9-tokens.png") });
    for (const index of [0, 1]) await other.getByTestId(`token-${index}`).fill("no token");
    await other.getByTestId("tokens-submit").click();
    await other.getByTestId("tokens-problem").getByText("no access token").waitFor();
    for (const [index, name] of ["alice", "bob"].entries()) {
      await other.getByTestId(`token-${index}`).fill(users.find(({ username }) => username === name).token);
    }
    await other.getByTestId("tokens-submit").click();
    const panels = [new PanelDriver(other, 0), new PanelDriver(other, 1)];
    for (const panel of panels) await panel.isOnline();
    await panels[0].opens("bob");
    await panels[1].opens("alice");
    await panels[1].says("By token");
    await panels[0].sees("By token", "received");
    await other.close();
  });

  test("a refused token is exchanged for a fresh one", async () => {
    const other = await openPage();
    const offered = [];
    await other.routeWebSocket(/\/ws\/chat\//, (client) => {
      offered.push(client.protocols().at(-1));
      if (offered.length > 2) client.connectToServer();
      else client.close({ code: 4401, reason: "token expired" });
    });
    await other.goto(server.address);
    const panels = [new PanelDriver(other, 0), new PanelDriver(other, 1)];
    for (const panel of panels) await panel.isOnline();
    assert.equal(new Set(offered).size, 4);
    await other.close();
  });

  test("the policy lets nothing in that the server did not put there", async () => {
    const other = await browser.newPage();
    const policy = (await other.goto(server.address)).headers()["content-security-policy"];
    assert.match(policy, /^default-src 'none';/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    const broken = await other.evaluate(async () => {
      const broken = [];
      document.addEventListener("securitypolicyviolation", (event) => broken.push(event.effectiveDirective));
      const script = document.createElement("script");
      script.textContent = "window.strayed = true";
      document.body.append(script);
      await fetch("http://elsewhere.invalid/").catch(() => {});
      document.body.append(Object.assign(new Image(), { src: "http://elsewhere.invalid/a.png" }));
      while (broken.length < 3) await new Promise((resolve) => { setTimeout(resolve); });
      return [window.strayed, ...broken.sort()];
    });
    assert.deepEqual(broken, [undefined, "connect-src", "img-src", "script-src-elem"]);
    const next = (await other.reload()).headers()["content-security-policy"];
    assert.notEqual(next, policy, "a nonce is used once");
    await other.close();
  });

  test("after five failed tries it gives up and offers to retry", async () => {
    const other = await openPage();
    await other.addInitScript(() => { Math.random = () => 0; }); // no pause between the tries
    await other.goto(server.address);
    const panels = [new PanelDriver(other, 0), new PanelDriver(other, 1)];
    for (const panel of panels) await panel.isOnline();
    await server.kill();
    for (const panel of panels) await panel.hasState("gave_up");
    await other.screenshot({ path: join(SHOTS, "10-gave-up.png") });
    await server.start();
    for (const panel of panels) {
      await panel.at("retry").click();
      await panel.hasState("online");
      assert.ok(await panel.at("retry").isHidden());
    }
    await other.close();
  });

  test("nothing complained but the refused connections, and nothing was asked elsewhere", () => {
    assert.deepEqual(complaints.filter((line) => !/ERR_CONNECTION_(REFUSED|RESET|CLOSED)|ERR_EMPTY_RESPONSE/.test(line)), []);
    assert.deepEqual(foreign, []);
  });
});
