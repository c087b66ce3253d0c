// A panel of the demo page, in the words of the person who uses it. Every wait has a deadline, and none is a pause.

import assert from "node:assert/strict";

export const DEADLINE_MS = 10_000;

export class PanelDriver {
  constructor(page, index) {
    this.page = page;
    this.root = page.getByTestId(`panel-${index}`);
  }

  at(testId) {
    return this.root.getByTestId(testId);
  }

  async becomes(user) {
    await this.at("user-switcher").selectOption({ label: user });
    await this.isOnline();
  }

  /** Resolves when the connection line says so; presses "Retry" where the page offers it. */
  async isOnline(deadlineMs = DEADLINE_MS) {
    const end = Date.now() + deadlineMs;
    const settled = this.root.locator('[data-testid=connection][data-state=online], [data-testid=retry]:visible').first();
    while (Date.now() < end) {
      await settled.waitFor({ timeout: end - Date.now() });
      if (await this.isState("online")) return;
      await this.at("retry").click({ timeout: 1_000 }).catch(() => {}); // it may have gone by itself
    }
    assert.fail(`not online within ${deadlineMs} ms`);
  }

  async isState(state) {
    return (await this.at("connection").getAttribute("data-state")) === state;
  }

  async hasState(...states) {
    const selector = states.map((state) => `[data-testid=connection][data-state=${state}]`).join(", ");
    await this.root.locator(selector).waitFor({ timeout: DEADLINE_MS });
  }

  conversation(username) {
    return this.root.locator(`[data-testid=conversation][data-username=${username}]`);
  }

  async opens(username) {
    await this.conversation(username).click({ timeout: DEADLINE_MS });
    await this.at("composer").waitFor({ timeout: DEADLINE_MS });
  }

  async closesConversation() {
    await this.at("back").click();
  }

  async types(text) {
    await this.at("composer-input").pressSequentially(text);
  }

  async says(text) {
    await this.at("composer-input").fill(text);
    await this.at("composer-input").press("Enter");
  }

  /** The row of the message with that text. */
  message(text, status) {
    const rows = status ? `[data-testid=message][data-status=${status}]` : "[data-testid=message]";
    return this.root.locator(rows).filter({ has: this.page.getByText(text, { exact: true }) });
  }

  /** Resolves when the message is on show with that status: received, queued, sent, read or failed. */
  async sees(text, status) {
    await this.message(text, status).first().waitFor({ timeout: DEADLINE_MS });
  }

  /** All stored messages on show, top to bottom. */
  async thread() {
    return this.root.locator("[data-testid=message]").evaluateAll((rows) => rows.map((row) => ({
      seq: Number(row.dataset.seq),
      status: row.dataset.status,
      text: row.querySelector("[data-testid=content]").textContent,
    })));
  }

  async seesTyping(name) {
    await this.at("typing").getByText(`${name} is typing…`).waitFor({ timeout: DEADLINE_MS });
  }

  suggestion(username) {
    return this.root.locator(`[data-testid=suggestion][data-username=${username}]`);
  }
}
