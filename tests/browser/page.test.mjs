// The page's parts fit together: what the server inlines gives one self-contained page.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parse } from "acorn";

const read = (name) => readFileSync(new URL(`../../src/web/${name}`, import.meta.url), "utf8");

const PARTS = {
  "/*STYLE*/": "page.css",
  "/*BUS*/": "realtime-bus.js",
  "/*DOM*/": "dom.js",
  "/*THREAD*/": "thread.js",
  "/*PANEL*/": "panel.js",
  "/*PAGE*/": "page.js",
};
const MARKERS = [...Object.keys(PARTS), "<!--DEMO_CONFIG-->"];
const html = read("page.html");

/** A single `&`-free replacement, as the server's is. */
const inlined = MARKERS.reduce(
  (page, marker) => page.replace(marker, () => (PARTS[marker] ? read(PARTS[marker]) : '{"users":[]}')), html);

describe("the page", () => {
  test("has each marker once, and no part has any", () => {
    for (const marker of MARKERS) {
      assert.equal(html.split(marker).length - 1, 1, marker);
      for (const name of Object.values(PARTS)) assert.ok(!read(name).includes(marker), `${marker} in ${name}`);
    }
  });

  test("no part ends the element that it is put in", () => {
    for (const name of Object.values(PARTS)) assert.doesNotMatch(read(name), /<\/(script|style)|<!--|<script/i, name);
  });

  test("asks for nothing from elsewhere", () => {
    assert.doesNotMatch(inlined, /(src|href)\s*=\s*["'](?!data:,)/i);
    assert.doesNotMatch(inlined, /@import|\burl\(/);
    assert.doesNotMatch(inlined.replace("wss://example.org/ws/chat/", ""), /\b(https?|wss?):\/\//i);
  });

  test("needs no unsafe source in a content security policy", () => {
    assert.doesNotMatch(html, /\son[a-z]+\s*=|\sstyle\s*=|javascript:/i);
    for (const name of Object.values(PARTS)) assert.doesNotMatch(read(name), /\beval\(|new Function/, name);
  });

  test("lets text in by textContent only", () => {
    for (const name of Object.values(PARTS)) {
      assert.doesNotMatch(read(name), /innerHTML|outerHTML|insertAdjacentHTML|document\.write/, name);
    }
  });

  test("its scripts are sound and share their names without a clash", () => {
    const scripts = Object.values(PARTS).filter((name) => name.endsWith(".js")).map(read);
    parse(scripts.join("\n"), { ecmaVersion: 2020, sourceType: "script" });
  });
});
