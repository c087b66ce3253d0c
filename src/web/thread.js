/**
 * The messages of the conversation on show: rows, ticks, and the way they scroll. It knows no socket and no server.
 *
 * A conversation holds its rows by `client_id` (or id), so that a message being sent becomes the stored one in its place.
 * `data-status` of a row: received, queued, sent (one tick), read (two ticks), failed.
 */
"use strict";

const STATUS_TEXT = { queued: "waiting", sent: "sent", read: "read", failed: "not sent" };
const STATUS_MARK = { queued: "◷", sent: "✓", read: "✓✓", failed: "!" };
const NEAR_END_PX = 80; // a reader this close to the end is following

class Thread {
  constructor({ thread, messages, earlier }, userId) {
    Object.assign(this, { thread, messages, earlier, userId, conversation: null });
  }

  /** Shows all there is of `conversation`; `waiting` are its entries in the outbox. */
  show(conversation, waiting) {
    this.conversation = conversation;
    const failed = Array.from(conversation.rows.values()).filter((row) => row.dataset.status === "failed");
    const stored = conversation.messages.map((message) => this.storedRow(message));
    for (const row of conversation.rows.values()) row.classList.remove("arriving");
    this.messages.replaceChildren(...stored, ...failed, ...waiting.map((entry) => this.waitingRow(entry)));
    this.earlier.hidden = !conversation.more;
    this.thread.scrollTop = this.thread.scrollHeight;
  }

  /** A stored message: below all others that are stored, above those that wait. */
  add(message) {
    const row = this.storedRow(message);
    this.place(row, this.messages.querySelector('[data-status="queued"]'));
  }

  addWaiting(entry) {
    this.place(this.waitingRow(entry), null);
  }

  /** Marks what the other side has read by now. */
  repaint() {
    for (const row of this.conversation.rows.values()) {
      if (row.dataset.status === "sent") this.paint(row, this.statusOf(row.message));
    }
  }

  /** A message that the server refused; `again` sends it anew. */
  fail(conversation, { clientId, error }, again) {
    const row = conversation.rows.get(clientId);
    if (!row) return;
    this.paint(row, "failed");
    const button = make("button", { type: "button", className: "quiet", text: "Try again", data: { testid: "resend" } });
    button.addEventListener("click", () => {
      conversation.rows.delete(clientId);
      row.remove();
      again();
    });
    row.append(make("small", { className: "problem", text: error.message }), button);
  }

  storedRow(message) {
    const own = message.sender.id === this.userId;
    const { rows } = this.conversation;
    const key = own && message.client_id ? message.client_id : String(message.id);
    const row = rows.get(key) || this.emptyRow(own, message.content);
    rows.set(key, row);
    row.message = message;
    Object.assign(row.dataset, { messageId: message.id, seq: message.seq });
    row.time.textContent = timeOf(message.created_at);
    row.time.dateTime = message.created_at;
    this.paint(row, this.statusOf(message));
    return row;
  }

  waitingRow({ clientId, content }) {
    const { rows } = this.conversation;
    const row = rows.get(clientId) || this.emptyRow(true, content);
    rows.set(clientId, row);
    this.paint(row, "queued");
    return row;
  }

  emptyRow(own, content) {
    const row = make("li", { className: `message ${own ? "own" : "theirs"}`, data: { testid: "message" } });
    row.time = make("time");
    row.mark = make("span", { className: "mark" });
    row.append(make("p", { text: content, data: { testid: "content" } }), make("small", {}, row.time, row.mark));
    return row;
  }

  statusOf(message) {
    if (message.sender.id !== this.userId) return "received";
    return message.is_read || message.id <= this.conversation.readUpTo ? "read" : "sent";
  }

  paint(row, status) {
    row.dataset.status = status;
    row.mark.textContent = STATUS_MARK[status] || "";
    if (STATUS_TEXT[status]) row.mark.append(hiddenText(` ${STATUS_TEXT[status]}`));
  }

  /** Puts a row before another (or last) and follows it, unless the reader has scrolled up. */
  place(row, before) {
    const { thread } = this;
    const following = thread.scrollHeight - thread.scrollTop - thread.clientHeight < NEAR_END_PX;
    row.classList.add("arriving");
    this.messages.insertBefore(row, before);
    if (following || row.classList.contains("own")) thread.scrollTop = thread.scrollHeight;
  }
}
