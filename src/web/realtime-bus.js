/**
 * RealtimeBus: the reference client of the `fortifun.v1` WebSocket protocol.
 *
 * One file, no dependencies, plain ES2020: copy it. In a page it defines the global `RealtimeBus`; in node it is
 * `import { RealtimeBus } from "./realtime-bus.js"` or `require`.
 *
 *     const bus = new RealtimeBus({ storage: localStorage, storageKey: `chat:${userId}` });
 *     bus.on("message", ({ message }) => show(message));
 *     bus.on("state", ({ state, delayMs }) => showConnection(state, delayMs));
 *     bus.connect("wss://example.org/ws/chat/", ({ refresh }) => (refresh ? fetchToken() : currentToken()));
 *     await bus.send(conversationId, "Hello");        // resolves when the message is stored, not before
 *
 * What it promises:
 * - A message given to `send` is stored exactly once, however often the connection breaks: it keeps its `client_id`,
 *   and is sent again until the server has answered.
 * - `message` is emitted once for each message and in order within a conversation: what is already known is dropped, what
 *   is missing is asked for by `resume`.
 * - A lost connection is tried again with growing, random pauses, so that a million clients of a restarted server do not
 *   all come back in the same second.
 *
 * `connect` takes either `/ws/chat/` (everything of one user on one socket) or `/ws/conversations/<id>/` (one of them).
 *
 * Events for `on(name, listener)`:
 *   state    {state, code?, reason?, delayMs?, tries?}, state being one of
 *              idle        `connect` has not been called
 *              connecting  waiting for a token, the handshake or `hello`
 *              online      `hello` has come
 *              waiting     the next try begins in `delayMs`
 *              gave_up     `maxTries` tries failed in a row; `retry()` begins anew
 *              stopped     trying again as it is would not help (see AFTER_CLOSE); `retry()` begins anew
 *              closed      `close` has been called
 *   gave_up  the same object, once, on reaching that state
 *   message  {message}: whether it came as `message` or `new_message`, live or by resume
 *   outbox   {clientId, conversationId, content, attachment, status, message?, error?}, status: queued, sent, failed
 *   resync   {conversationIds}: the bus cannot tell what was missed there; read the history over REST
 *   error    an `error` event of the server that none of the bus's own commands explains
 * and every other event of the server under its own type: typing, read_receipt, user_status, new_match, new_like, ...
 */

const SUBPROTOCOL = "fortifun.v1";

/** What follows each close code of the protocol. A code that is not listed means `reconnect`. */
const AFTER_CLOSE = {
  1000: "stop", // the server said goodbye
  1002: "stop", // a protocol error, bad UTF-8 or too much: the same again would end the same way
  1007: "stop",
  1009: "stop",
  4400: "stop", // too many bad commands
  4403: "stop", // not, or no longer, a participant
  4404: "stop", // no such conversation
  4409: "stop", // replaced by a newer connection of the same user
  4401: "refresh", // the token is missing, invalid or expired: get another, then reconnect
  4429: "wait", // a rate limit was ignored: reconnect, after a long pause
};

const DEFAULTS = {
  WebSocket: undefined, // a constructor; the global one if absent
  fetch: undefined, // for `request`; the global one if absent
  storage: null, // anything with getItem and setItem, such as localStorage: outbox and positions outlive a reload
  storageKey: "realtime-bus", // one per user: an outbox must not be sent in another user's name
  maxTries: 5, // connection attempts in a row without a `hello` before `gave_up`; Infinity never gives up
  backoffBaseMs: 500, // the pause before try n is random between 0 and min(cap, base * 2^n): "full jitter"
  backoffCapMs: 30000,
  handshakeTimeoutMs: 10000, // from opening the socket to `hello`
  pongTimeoutMs: 10000, // from a ping on a silent socket to anything heard
  answerTimeoutMs: 15000, // from a command to its answer, before it is sent again
  outboxLimit: 1000, // messages not yet stored; `send` rejects with `outbox_full` above that
  random: Math.random,
};

const TYPING_EVERY_MS = 1050; // the server takes one a second; the rest is for an uneven network
const READ_EVERY_MS = 350; // the server takes three a second
const SEND_BURST = 5; // messages sent at once before the pace of `hello.limits.messages_per_second` holds
const RESUME_CHUNK = 100; // conversations in one `resume`; the next one waits for its answer
const WATCH_CHUNK = 200; // users in one `subscribe`
const RENEW_EVERY_MS = 5000; // tokens that live shorter than the notice of their end would be renewed without a pause

class RealtimeBus {
  constructor(options = {}) {
    this.options = { ...DEFAULTS, ...options };
    this.state = "idle";
    this._listeners = new Map(); // name -> Set of functions
    this._timers = new Map(); // name -> id: every pause of the bus, so that losing the connection ends them all
    this._url = null;
    this._tokenProvider = null;
    this._conversationId = null; // of a conversation socket; null on the chat socket
    this._socket = null;
    this._attempt = 0; // grows with each connection made or dropped: tells whether a token came too late
    this._tries = 0; // attempts since the last `hello`
    this._mustRefresh = false; // True exactly when the server has refused the token we had.
    this._hintUntil = null; // not before this time: what a `reconnect` event asked for
    this._hello = null;
    this._outbox = new Map(); // clientId -> entry, oldest first
    this._inFlight = null; // clientId: one message at a time, or a refused one would be overtaken by the next
    this._refusals = 0; // temporary refusals of messages in a row
    this._credit = SEND_BURST;
    this._seqs = new Map(); // conversation id -> last seq emitted
    this._resuming = new Map(); // conversation id -> {from, ahead}: the seq asked from, the highest that came too early
    this._resumeDue = new Set(); // conversation ids to be asked for
    this._isResumeOut = false; // True exactly when a `resume` waits for its `ack`.
    this._asked = new Map(); // ref -> {again, done, later, refused}: commands whose `ack` is due
    this._refs = 0;
    this._typing = new Map(); // conversation id -> {wanted, told, changed}
    this._reads = new Map(); // conversation id -> highest message id ever marked
    this._readsDue = new Map(); // conversation id -> message id to be told
    this._watched = new Set(); // user ids
    this._isTokenEnding = false; // True exactly when `token_expiring` has come and nothing been done about it.
    this._restore();
  }

  // ---- The public side --------------------------------------------------------------------------

  /**
   * Opens the connection and keeps it open until `close`. `tokenProvider({refresh})` returns the user's JWT, or a
   * promise of it; `refresh` is true when the server has refused the last one or it is about to expire. `null` means
   * "signed out": the bus stops. A provider that throws counts as a failed try.
   */
  connect(url, tokenProvider) {
    this._drop();
    const path = /\/ws\/conversations\/(\d+)/.exec(url);
    this._url = url;
    this._tokenProvider = tokenProvider;
    this._conversationId = path ? Number(path[1]) : null;
    this._tries = 0;
    this._open();
  }

  /** Tries again at once, with a fresh count: for a "retry" button, or the browser's `online` event. */
  retry() {
    if (!["waiting", "gave_up", "stopped"].includes(this.state)) return;
    this._disarm("reconnect");
    this._tries = 0;
    this._open();
  }

  /** Ends the connection. Promises of messages not yet stored reject with `closed`; a `storage` still has them. */
  close() {
    this._drop();
    this._setState("closed");
    for (const entry of this._outbox.values()) entry.reject(failure("closed", "the bus was closed"));
    this._outbox.clear();
  }

  /** Calls `listener` on each event of that name. Returns a function that ends it. */
  on(name, listener) {
    if (!this._listeners.has(name)) this._listeners.set(name, new Set());
    this._listeners.get(name).add(listener);
    return () => this._listeners.get(name).delete(listener);
  }

  /**
   * Sends a message, now or as soon as there is a connection. Resolves with the stored message (`id`, `seq`, ...).
   * Rejects with an Error whose `code` is `outbox_full`, `closed` or the server's own where trying again cannot help.
   */
  send(conversationId, content, { attachment } = {}) {
    if (this.state === "closed") return Promise.reject(failure("closed", "the bus was closed"));
    if (this._outbox.size >= this.options.outboxLimit) {
      return Promise.reject(failure("outbox_full", `${this._outbox.size} messages are waiting already`));
    }
    return new Promise((resolve, reject) => {
      const about = { clientId: newClientId(), conversationId: Number(conversationId), content, attachment };
      const entry = { ...about, resolve, reject };
      this._outbox.set(entry.clientId, entry);
      this._storeOutbox();
      this._emitOutbox(entry, "queued");
      this._pumpOutbox();
    });
  }

  /** Messages not yet stored, oldest first: what to show as "sending" after a reload. */
  get outbox() {
    return Array.from(this._outbox.values(), ({ clientId, conversationId, content, attachment }) => {
      return { clientId, conversationId, content, attachment };
    });
  }

  /** Tells the others that the user is typing. Call it on each key: it is told at most once a second. */
  typing(conversationId, isTyping) {
    const id = Number(conversationId);
    if (this.state !== "online") return;
    const slot = this._typing.get(id) || { told: false };
    slot.wanted = Boolean(isTyping);
    slot.changed = true;
    this._typing.set(id, slot);
    this._tellTyping(id, slot);
  }

  /** Marks that message and all earlier ones as read, after a reconnect if need be. Repeats and older ids cost nothing. */
  markRead(conversationId, messageId) {
    const id = Number(conversationId);
    if (messageId <= (this._reads.get(id) || 0)) return;
    this._reads.set(id, messageId);
    this._readsDue.set(id, messageId);
    this._pumpReads();
  }

  /**
   * Asks for the presence of these users, each of whom must share a conversation with this one: `user_status` tells how each
   * stands, now and after each reconnect, and every change. The server leaves out whom the user may not watch and what goes
   * beyond 200 users; `subscribed` names those whom it took. A conversation socket tells of its participants unasked.
   */
  watch(userIds) {
    const ids = userIds.map(Number);
    for (const id of ids) this._watched.add(id);
    this._subscribe("subscribe", ids);
  }

  /** Ends that. */
  unwatch(userIds) {
    const ids = userIds.map(Number).filter((id) => this._watched.delete(id));
    this._subscribe("unsubscribe", ids);
  }

  /**
   * Says what is known from elsewhere, as `{conversationId: lastSeq}`, usually the `last_seq` of the conversation list.
   * All that came after it will be emitted. Conversations that the bus already follows are left as they are.
   */
  track(lastSeqs) {
    const fresh = Object.keys(lastSeqs).map(Number).filter((id) => !this._seqs.has(id));
    for (const id of fresh) this._seqs.set(id, lastSeqs[id]);
    this._storeSeqs();
    this._resume(fresh);
  }

  /**
   * A REST call on the same server with the same token, refreshed once on 401. Resolves with the JSON; rejects with an Error
   * that has the `status` and the `code` of the answer.
   */
  async request(path, { method = "GET", body } = {}) {
    const fetch = this.options.fetch || globalThis.fetch;
    const target = new URL(path, this._url.replace(/^ws/, "http"));
    for (let refresh = false; ; refresh = true) {
      const headers = { Authorization: `Bearer ${await this._tokenProvider({ refresh })}` };
      if (body !== undefined) headers["Content-Type"] = "application/json";
      const response = await fetch(target, { method, headers, body: body && JSON.stringify(body) });
      if (response.status === 401 && !refresh) continue;
      const answer = await response.json().catch(() => ({}));
      if (response.ok) return answer;
      const error = failure(answer.code || "http", answer.detail || `HTTP ${response.status}`);
      throw Object.assign(error, { status: response.status });
    }
  }

  // ---- The connection: open, lost, open again ---------------------------------------------------

  async _open() {
    const attempt = ++this._attempt;
    const refresh = this._mustRefresh;
    this._tries += 1;
    this._setState("connecting", { tries: this._tries });
    try {
      const token = await this._tokenProvider({ refresh });
      if (attempt !== this._attempt) return;
      if (!token) return this._stop("no_token", "there is no token");
      this._mustRefresh = false;
      const WebSocket = this.options.WebSocket || globalThis.WebSocket;
      this._adopt(new WebSocket(this._url, [SUBPROTOCOL, `bearer.${token}`]));
    } catch (error) {
      if (attempt === this._attempt) this._lost("connect_failed", String(error));
    }
  }

  /** Listens to a socket for as long as it is ours; what an abandoned one still says is not heard. */
  _adopt(socket) {
    this._socket = socket;
    socket.onmessage = ({ data }) => socket === this._socket && this._receive(data);
    socket.onclose = ({ code, reason }) => socket === this._socket && this._lost(code, reason);
    socket.onerror = () => {}; // a close always follows, and says more
    this._arm("handshake", this.options.handshakeTimeoutMs, () => this._lost(4408, "no hello"));
  }

  _lost(code, reason) {
    const hintUntil = this._hintUntil;
    this._drop();
    const after = AFTER_CLOSE[code] || "reconnect";
    if (after === "stop") return this._stop(code, reason);
    if (after === "refresh") this._mustRefresh = true;
    if (this._tries >= this.options.maxTries) {
      this._setState("gave_up", { code, reason, tries: this._tries });
      this._emit("gave_up", { state: "gave_up", code, reason, tries: this._tries });
      return;
    }
    const delayMs = this._pauseBefore(after, hintUntil);
    this._arm("reconnect", delayMs, () => this._open());
    this._setState("waiting", { code, reason, delayMs, tries: this._tries });
  }

  _pauseBefore(after, hintUntil) {
    const { random, backoffCapMs } = this.options;
    if (hintUntil !== null) return Math.max(hintUntil - Date.now(), this._backoff(this._tries));
    if (after === "refresh" && this._tries <= 1) return 0; // an expired token is no sign of trouble
    if (after === "wait") return Math.round(backoffCapMs * (1 + random()) / 2);
    return this._backoff(this._tries);
  }

  _backoff(tries) {
    const { random, backoffBaseMs, backoffCapMs } = this.options;
    return Math.round(random() * Math.min(backoffCapMs, backoffBaseMs * 2 ** tries));
  }

  _stop(code, reason) {
    this._drop();
    this._setState("stopped", { code, reason });
  }

  /** Lets go of the socket and all that belongs to it. Outbox, positions and unconfirmed reads stay for the next one. */
  _drop() {
    const socket = this._socket;
    this._socket = null;
    this._hello = null;
    this._hintUntil = null;
    this._inFlight = null;
    this._isTokenEnding = false;
    this._isResumeOut = false;
    this._attempt += 1;
    for (const name of this._timers.keys()) this._disarm(name);
    this._resuming.clear();
    this._resumeDue.clear();
    this._typing.clear();
    const asked = Array.from(this._asked.values());
    this._asked.clear();
    if (this.state === "online") this.state = "waiting";
    for (const { again } of asked) again();
    if (socket) socket.close(1000);
  }

  // ---- What the server says ---------------------------------------------------------------------

  _receive(text) {
    const event = parse(text);
    switch (event.type) {
      case "hello": this._onHello(event); break;
      case "message":
      case "new_message": this._onMessage(event.message, event.conversation_id); break;
      case "resumed": this._onResumed(event); break;
      case "ack": this._onAck(event); break;
      case "error": this._onError(event); break;
      case "pong": break;
      case "token_expiring": this._onTokenExpiring(event); break;
      case "reconnect": this._hintUntil = Date.now() + event.delay_ms; this._emit(event.type, event); break;
      default: this._emit(event.type, event);
    }
    this._watchSilence();
  }

  _onHello(hello) {
    this._disarm("handshake");
    this._hello = hello;
    this._tries = 0;
    this._setState("online");
    this._emit("hello", hello);
    this._resume(Array.from(this._seqs.keys()));
    this._subscribe("subscribe", Array.from(this._watched));
    this._refillCredit();
    this._pumpOutbox();
    this._pumpReads();
  }

  _onMessage(message, conversationId = message.conversation_id) {
    this._settleMessage(message, conversationId);
    if (Number.isInteger(message.seq)) { // one that another service published may have none: nothing to compare
      const last = this._seqs.get(conversationId);
      if (last !== undefined && message.seq <= last) return; // known
      if (last !== undefined && message.seq > last + 1) return this._onGap(conversationId, message.seq);
      this._seqs.set(conversationId, message.seq);
      this._storeSeqs();
    }
    this._emit("message", { message });
  }

  _onError(event) {
    const asked = this._asked.get(event.ref);
    if (this._outbox.has(event.client_id)) {
      this._messageRefused(event);
    } else if (asked && event.temporary) {
      asked.later();
      this._arm(`ask:${event.ref}`, event.retry_after_ms || 1000, () => this._askAgain(event.ref));
    } else if (asked) {
      this._settleAsked(event.ref);
      asked.refused(event);
    } else {
      this._emit("error", event);
    }
  }

  /** A browser cannot see the server's pings, so it asks by itself when it has heard nothing for a heartbeat. */
  _watchSilence() {
    if (this.state !== "online") return;
    const heartbeatMs = this._hello.heartbeat_interval_ms || 25000;
    this._arm("silence", heartbeatMs, () => {
      this._transmit({ type: "ping" });
      this._arm("silence", Math.min(heartbeatMs, this.options.pongTimeoutMs), () => this._lost(4408, "no pong"));
    });
  }

  _onTokenExpiring(event) {
    this._isTokenEnding = true;
    this._pumpRenewal();
    this._emit(event.type, event);
  }

  _pumpRenewal() {
    if (!this._isTokenEnding || this._timers.has("renewal")) return;
    this._isTokenEnding = false;
    this._arm("renewal", RENEW_EVERY_MS, () => this._pumpRenewal());
    this._renew();
  }

  /** Hands the server a fresh token on the living connection. If that fails, the 4401 to come makes the next attempt. */
  async _renew() {
    const attempt = this._attempt;
    const token = await Promise.resolve().then(() => this._tokenProvider({ refresh: true })).catch(() => null);
    if (token && attempt === this._attempt) this._transmit({ type: "auth", token });
  }

  // ---- Resume -----------------------------------------------------------------------------------

  _resume(ids) {
    if (this.state !== "online") return;
    const mine = this._conversationId === null ? ids : ids.filter((id) => id === this._conversationId);
    for (const id of mine) this._resumeDue.add(id);
    this._pumpResume();
  }

  _pumpResume() {
    if (this.state !== "online" || this._isResumeOut || this._resumeDue.size === 0) return;
    const chunk = Array.from(this._resumeDue).slice(0, RESUME_CHUNK);
    for (const id of chunk) {
      this._resumeDue.delete(id);
      this._resuming.set(id, { from: this._seqs.get(id), ahead: 0 });
    }
    const after = Object.fromEntries(chunk.map((id) => [id, this._seqs.get(id)]));
    const from = this._conversationId === null ? { after } : { after_seq: after[chunk[0]] };
    this._isResumeOut = true;
    this._ask({ type: "resume", ...from }, {
      done: () => this._resumeNext([]),
      later: () => chunk.forEach((id) => this._resuming.delete(id)), // a `resumed` that follows the error says nothing
      again: () => this._resumeNext(chunk.filter((id) => this._seqs.has(id))),
      refused: () => {
        this._forget(chunk);
        this._resumeNext([]);
      },
    });
  }

  _resumeNext(ids) {
    this._isResumeOut = false;
    for (const id of ids) this._resuming.delete(id);
    this._resume(ids);
    this._pumpResume();
  }

  /** Messages before this one are missing: it is let go, and comes again behind them. */
  _onGap(id, seq) {
    if (!this._resuming.has(id)) this._resume([id]);
    const asked = this._resuming.get(id);
    if (asked) asked.ahead = Math.max(asked.ahead, seq);
  }

  _onResumed({ conversation_id: id, last_seq: lastSeq, complete }) {
    const asked = this._resuming.get(id);
    if (!asked) return;
    this._resuming.delete(id);
    const last = this._seqs.get(id);
    if (last > asked.from && (!complete || asked.ahead > last)) return this._resume([id]);
    // An answer without progress, or a count that went back (another store, a backup): only the history can tell.
    if (!complete || asked.ahead > last || lastSeq < asked.from || lastSeq > last) this._forget([id]);
  }

  /** Follows these conversations no longer, until a message or `track` names them anew. */
  _forget(ids) {
    for (const id of ids) {
      this._resuming.delete(id);
      this._resumeDue.delete(id);
      this._seqs.delete(id);
    }
    this._storeSeqs();
    this._emit("resync", { conversationIds: ids });
  }

  // ---- The outbox -------------------------------------------------------------------------------

  _pumpOutbox() {
    if (this.state !== "online" || this._inFlight !== null || this._credit < 1 || this._timers.has("pause")) return;
    const entry = this._outbox.values().next().value;
    if (entry === undefined) return;
    this._inFlight = entry.clientId;
    this._credit -= 1;
    this._refillCredit();
    const { conversationId, content, clientId, attachment } = entry;
    this._transmit({ type: "message", ...this._scope(conversationId), content, client_id: clientId, attachment });
    this._arm("answer", this.options.answerTimeoutMs, () => this._freeSlot());
  }

  /** Keeps to the server's pace: refusals would cost more time than waiting does. */
  _refillCredit() {
    if (this._credit >= SEND_BURST || this._timers.has("credit")) return;
    const perSecond = (this._hello.limits && this._hello.limits.messages_per_second) || 5;
    this._arm("credit", 1000 / perSecond, () => {
      this._credit += 1;
      this._refillCredit();
      this._pumpOutbox();
    });
  }

  /** A message of ours came back: it is stored. Another user's with the same `client_id` proves nothing. */
  _settleMessage(message, conversationId) {
    const entry = this._outbox.get(message.client_id);
    if (!entry || entry.conversationId !== conversationId || message.sender.id !== this._hello.user_id) return;
    this._refusals = 0;
    this._take(entry);
    this._emitOutbox(entry, "sent", { message });
    entry.resolve(message);
  }

  _messageRefused({ client_id: clientId, code, message, temporary, retry_after_ms: retryAfterMs }) {
    const entry = this._outbox.get(clientId);
    if (temporary) {
      this._refusals += 1;
      this._arm("pause", Math.max(retryAfterMs || 0, this._backoff(this._refusals)), () => this._pumpOutbox());
      this._freeSlot();
      return;
    }
    const error = failure(code, message);
    this._take(entry);
    this._emitOutbox(entry, "failed", { error });
    entry.reject(error);
  }

  _take(entry) {
    this._outbox.delete(entry.clientId);
    this._storeOutbox();
    if (this._inFlight === entry.clientId) this._freeSlot();
  }

  _freeSlot() {
    this._disarm("answer");
    this._inFlight = null;
    this._pumpOutbox();
  }

  _emitOutbox({ clientId, conversationId, content, attachment }, status, more = {}) {
    this._emit("outbox", { clientId, conversationId, content, attachment, status, ...more });
  }

  // ---- Typing and read receipts -----------------------------------------------------------------

  _tellTyping(id, slot) {
    if (this._timers.has(`typing:${id}`) || !slot.changed || (!slot.wanted && !slot.told)) return;
    slot.changed = false;
    slot.told = slot.wanted;
    this._transmit({ type: "typing", ...this._scope(id), is_typing: slot.wanted });
    this._arm(`typing:${id}`, TYPING_EVERY_MS, () => this._tellTyping(id, slot));
  }

  _pumpReads() {
    if (this.state !== "online" || this._timers.has("reads") || this._readsDue.size === 0) return;
    const [id, messageId] = this._readsDue.entries().next().value;
    this._readsDue.delete(id);
    const again = () => {
      if (!this._readsDue.has(id)) this._readsDue.set(id, messageId);
      this._pumpReads();
    };
    this._ask({ type: "read_receipt", ...this._scope(id), message_id: messageId }, { again });
    this._arm("reads", READ_EVERY_MS, () => this._pumpReads());
  }

  // ---- Presence ---------------------------------------------------------------------------------

  /** `type` being `subscribe` or `unsubscribe`. What the user has changed their mind about is not asked again. */
  _subscribe(type, ids) {
    if (this.state !== "online" || this._conversationId !== null) return;
    for (let start = 0; start < ids.length; start += WATCH_CHUNK) {
      const chunk = ids.slice(start, start + WATCH_CHUNK);
      const again = () => this._subscribe(type, chunk.filter((id) => this._watched.has(id) === (type === "subscribe")));
      this._ask({ type, subscription_type: "user_status", user_ids: chunk }, { again });
    }
  }

  // ---- Commands ---------------------------------------------------------------------------------

  _transmit(command) {
    this._socket.send(JSON.stringify(command));
  }

  /** On the chat socket a command names its conversation; a conversation socket has but one. */
  _scope(conversationId) {
    return this._conversationId === null ? { conversation_id: conversationId } : {};
  }

  /**
   * A command whose `ack` matters: `done` when it came, `again` when it was lost or its pause is over after a refusal for now
   * (`later`), `refused` when for good.
   */
  _ask(command, { again, done = () => {}, later = () => {}, refused = (event) => this._emit("error", event) }) {
    this._refs += 1;
    const ref = `r${this._refs}`;
    this._asked.set(ref, { again, done, later, refused });
    this._arm(`ask:${ref}`, this.options.answerTimeoutMs, () => this._askAgain(ref));
    this._transmit({ ...command, ref });
  }

  _onAck({ ref }) {
    const asked = this._asked.get(ref);
    if (!asked) return;
    this._settleAsked(ref);
    asked.done();
  }

  _askAgain(ref) {
    const { again } = this._asked.get(ref);
    this._settleAsked(ref);
    again();
  }

  _settleAsked(ref) {
    this._disarm(`ask:${ref}`);
    this._asked.delete(ref);
  }

  // ---- Small tools ------------------------------------------------------------------------------

  _setState(state, details = {}) {
    this.state = state;
    this._emit("state", { state, ...details });
  }

  /** A listener that throws harms neither the bus nor the other listeners. */
  _emit(name, event) {
    for (const listener of Array.from(this._listeners.get(name) || [])) {
      try {
        listener(event);
      } catch (error) {
        console.error(`RealtimeBus: a listener of "${name}" threw`, error);
      }
    }
  }

  /** Calls `action` in `ms`, unless disarmed; a second one of the same name takes the place of the first. */
  _arm(name, ms, action) {
    this._disarm(name);
    this._timers.set(name, setTimeout(() => {
      this._timers.delete(name);
      action();
    }, ms));
  }

  _disarm(name) {
    clearTimeout(this._timers.get(name));
    this._timers.delete(name);
  }

  _restore() {
    const unheard = () => {}; // whoever sent these is gone; the `outbox` events still tell
    for (const entry of this._load("outbox")) {
      this._outbox.set(entry.clientId, { ...entry, resolve: unheard, reject: unheard });
    }
    this._seqs = new Map(this._load("seqs"));
  }

  _storeOutbox() {
    this._save("outbox", this.outbox);
  }

  _storeSeqs() {
    this._save("seqs", Array.from(this._seqs));
  }

  _load(what) {
    const { storage, storageKey } = this.options;
    try {
      return (storage && JSON.parse(storage.getItem(`${storageKey}:${what}`))) || [];
    } catch (error) {
      return []; // damaged or forbidden: the server has all that was acknowledged
    }
  }

  _save(what, value) {
    const { storage, storageKey } = this.options;
    try {
      if (storage) storage.setItem(`${storageKey}:${what}`, JSON.stringify(value));
    } catch (error) {
      console.warn("RealtimeBus: the storage refused", error); // full or forbidden: memory still has it
    }
  }
}

/** An event, or one of no known type where the text is none. */
function parse(text) {
  try {
    return JSON.parse(text) || {};
  } catch (error) {
    return { type: "invalid_json", text };
  }
}

function failure(code, message) {
  return Object.assign(new Error(message), { code });
}

/** A UUID; outside secure contexts, where browsers have no `randomUUID`, 128 random bits in hexadecimal. */
function newClientId() {
  const { crypto } = globalThis;
  if (crypto && crypto.randomUUID) return crypto.randomUUID();
  const bytes = Array.from({ length: 16 }, () => Math.floor(Math.random() * 256));
  const random = crypto ? crypto.getRandomValues(new Uint8Array(16)) : bytes;
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

if (typeof module === "object" && module.exports) module.exports = { RealtimeBus };
else globalThis.RealtimeBus = RealtimeBus;
