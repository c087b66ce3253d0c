/**
 * A panel: one user, with a RealtimeBus and a token of their own. Panels share nothing but the page.
 *
 * It keeps nothing that the server does not know; switched to another user, it is built anew.
 */
"use strict";

const HISTORY = 50; // messages read at a time
const TYPING_ENDS_MS = 11000; // the server ends it after 10 s; a lost event must not leave it standing
const TOAST_MS = 8000;
const LONG_PAUSE_MS = 3000; // somebody in front of the screen would rather not wait that long
const STATE_TEXT = {
  idle: "Not connected",
  connecting: "Connecting",
  online: "Connected",
  waiting: "Reconnecting",
  gave_up: "Offline: every try failed",
  stopped: "Stopped",
  closed: "Closed",
};

class Panel {
  /**
   * `url` is the chat socket's; `tokenProvider(user, {refresh})` gives the user's token; `onSwitch(panel, userId)` is called
   * when another user is chosen, `onSignedOut()` when there is no token any more.
   */
  constructor({ index, users, user, url, storage, tokenProvider, onSwitch, onSignedOut }) {
    this.user = user;
    this.users = users;
    this.conversations = new Map(); // id -> conversation, newest activity first; see `adopt`
    this.people = new Map(); // id -> {id, username, first_name, online}
    this.watched = new Set(); // ids of those whose presence the bus tells
    this.liked = new Map(); // user id -> "liked" or "likes-you"
    this.open = null; // the conversation on show
    this.onSwitch = onSwitch;
    this.onSignedOut = onSignedOut;
    this.build(index);
    this.bus = new RealtimeBus({ storage, storageKey: `fortifun:${index}:${user.id}` });
    this.listen();
    this.bus.connect(url, (how) => tokenProvider(user, how));
  }

  end() {
    clearInterval(this.countdown);
    for (const { typingTimer } of this.conversations.values()) clearTimeout(typingTimer);
    this.bus.close();
  }

  build(index) {
    this.section = document.importNode(find("panel-template").content, true).firstElementChild;
    this.section.dataset.testid = `panel-${index}`;
    this.section.setAttribute("aria-label", `${index === 0 ? "First" : "Second"} person`);
    this.part = {};
    for (const element of this.section.querySelectorAll("[data-part]")) this.part[element.dataset.part] = element;
    this.thread = new Thread(this.part, this.user.id);
    const { switcher, avatar, retry, back, earlier, composer, input } = this.part;
    switcher.append(...this.users.map((user) => make("option", { value: user.id, text: nameOf(user) })));
    switcher.value = this.user.id;
    paintAvatar(avatar, this.user);
    switcher.addEventListener("change", () => this.onSwitch(this, Number(switcher.value)));
    retry.addEventListener("click", () => this.bus.retry());
    back.addEventListener("click", () => this.leave());
    earlier.addEventListener("click", () => this.loadEarlier());
    input.addEventListener("input", () => this.bus.typing(this.open.id, input.value.trim() !== ""));
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.sendDraft();
    });
    composer.addEventListener("submit", (event) => {
      event.preventDefault();
      this.sendDraft();
    });
  }

  listen() {
    const on = (name, handle) => this.bus.on(name, handle.bind(this));
    on("state", this.onState);
    on("hello", this.reload);
    on("message", this.onMessage);
    on("outbox", this.onOutbox);
    on("resync", this.onResync);
    on("typing", this.onTyping);
    on("read_receipt", this.onReadReceipt);
    on("user_status", this.onUserStatus);
    on("new_match", this.onNewMatch);
    on("new_like", this.onNewLike);
    on("conversation_update", this.reload);
    on("system_alert", ({ data }) => this.toast(data.title, data.body));
  }

  /** The connection line. Assistive technology hears of changes, not of each second. */
  onState({ state, code, reason, delayMs }) {
    const { connection, connectionText, countdown, retry } = this.part;
    connection.dataset.state = state;
    this.section.toggleAttribute("data-connected", state === "online");
    connectionText.textContent = state === "stopped" ? `Stopped: ${reason || code}` : STATE_TEXT[state];
    retry.hidden = !(state === "gave_up" || state === "stopped" || (state === "waiting" && delayMs >= LONG_PAUSE_MS));
    clearInterval(this.countdown);
    countdown.textContent = "";
    if (state === "waiting") {
      const until = performance.now() + delayMs;
      const show = () => {
        countdown.textContent = `in ${Math.max(0, Math.ceil((until - performance.now()) / 1000))} s`;
      };
      show();
      this.countdown = setInterval(show, 250);
    }
    if (code === "no_token") this.onSignedOut();
  }

  // ---- Lists, over REST: at the start, after each reconnect, and when something new turns up -----------------------

  async reload() {
    try {
      const [conversations, matches] = await Promise.all([
        this.bus.request("/api/v1/conversations/"),
        this.bus.request("/api/v1/matching/recent-matches/"),
      ]);
      for (const match of matches) this.learn(match, this.watched.has(match.id) ? undefined : match.is_online);
      const known = this.conversations;
      this.conversations = new Map(conversations.map((listed) => [listed.id, this.adopt(listed, known.get(listed.id))]));
      this.bus.track(Object.fromEntries(conversations.map(({ id, last_seq: lastSeq }) => [id, lastSeq])));
      this.watchPeers();
      if (this.open && !this.conversations.has(this.open.id)) this.leave();
      this.showLists();
      if (this.open) await this.loadHistory(this.open);
    } catch (error) {
      if (this.bus.state === "online") this.toast("The lists could not be read", error.message);
    }
  }

  /** Presence of everybody that the user has a conversation with, and of nobody else. */
  watchPeers() {
    const peers = new Set(Array.from(this.conversations.values(), ({ peerId }) => peerId));
    const [fresh, gone] = [[...peers].filter((id) => !this.watched.has(id)), [...this.watched].filter((id) => !peers.has(id))];
    this.watched = peers;
    if (fresh.length > 0) this.bus.watch(fresh);
    if (gone.length > 0) this.bus.unwatch(gone);
  }

  /** Reads the lists again because of a conversation that they do not have. */
  seek() {
    this.seeking = this.seeking || this.reload().finally(() => { this.seeking = null; });
  }

  /** A conversation as the page keeps it; an answer that is older than what the socket told does not undo it. */
  adopt({ id, participants, last_message: last, last_seq: lastSeq, unread_count: unread }, known) {
    const peer = participants.find((participant) => participant.id !== this.user.id) || participants[0];
    this.learn(peer);
    this.nameOwner(participants.find((participant) => participant.id === this.user.id));
    const conversation = known || { id, peerId: peer.id, messages: [], rows: new Map(), loaded: false, readUpTo: 0, lastSeq: 0 };
    return conversation.lastSeq > lastSeq ? conversation : Object.assign(conversation, { last, lastSeq, unread });
  }

  /** A pasted token tells an id, the lists tell the name. */
  nameOwner({ username }) {
    if (this.user.username === username) return;
    this.user.username = username;
    this.part.switcher.selectedOptions[0].textContent = nameOf(this.user);
    paintAvatar(this.part.avatar, this.user);
  }

  learn({ id, username, first_name: firstName }, online) {
    const known = this.people.get(id) || this.users.find((user) => user.id === id) || {};
    const person = { id, username, first_name: firstName || known.first_name, online: online ?? Boolean(known.online) };
    this.people.set(id, person);
    return person;
  }

  peerOf(conversation) {
    return this.people.get(conversation.peerId);
  }

  showLists() {
    const conversations = Array.from(this.conversations.values());
    refill(this.part.conversations, conversations.map((conversation) => this.conversationItem(conversation)));
    this.part.noConversations.hidden = conversations.length > 0;
    const known = new Set([this.user.id, ...conversations.map(({ peerId }) => peerId)]);
    const everybody = new Map([...this.users, ...this.people.values()].map((user) => [user.id, user]));
    const strangers = Array.from(everybody.values()).filter(({ id }) => !known.has(id));
    refill(this.part.suggestions, strangers.map((user) => this.suggestionItem(user)));
    this.part.noSuggestions.hidden = strangers.length > 0;
    if (this.open) this.showPresence(this.peerOf(this.open).online);
  }

  conversationItem(conversation) {
    const { id, last, unread } = conversation;
    const peer = this.peerOf(conversation);
    const dot = make("span", { className: "dot", data: { testid: "presence", online: peer.online } });
    dot.append(hiddenText(peer.online ? "online" : "offline"));
    const data = { testid: "conversation", key: `c${id}`, conversationId: id, username: peer.username };
    const button = make("button", { type: "button", className: "row", data },
      make("span", { className: "portrait" }, avatarOf(peer), dot),
      make("span", { className: "words" },
        make("strong", { text: nameOf(peer) }),
        make("span", { className: "preview", text: last ? last.content : "" })));
    if (unread > 0) {
      button.append(make("span", { className: "badge", text: unread, data: { testid: "unread" } }), hiddenText("unread"));
    }
    if (conversation === this.open) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => this.enter(conversation));
    return make("li", {}, button);
  }

  suggestionItem(user) {
    const word = this.liked.get(user.id);
    const text = word === "liked" ? "Liked" : "Like";
    const like = make("button", { type: "button", className: "like", text, data: { testid: "like", key: `s${user.id}` } });
    like.disabled = word === "liked";
    like.setAttribute("aria-label", `${text} ${nameOf(user)}`);
    like.addEventListener("click", () => this.like(user, like));
    const words = make("span", { className: "words" }, make("strong", { text: nameOf(user) }));
    if (word === "likes-you") words.append(make("span", { className: "preview", text: "likes you" }));
    const data = { testid: "suggestion", userId: user.id, username: user.username };
    return make("li", { className: "row", data }, avatarOf(user), words, like);
  }

  async like(user, button) {
    button.disabled = true;
    try {
      const answer = await this.bus.request("/api/v1/matching/like/", { method: "POST", body: { user_id: user.id } });
      if (!answer.is_match) this.liked.set(user.id, "liked"); // of a match, `new_match` tells
    } catch (error) {
      if (error.status === 400) this.liked.set(user.id, "liked"); // liked before
      this.toast("Not liked", error.message);
    }
    this.showLists();
  }

  // ---- One conversation ----------------------------------------------------------------------------------------------

  async enter(conversation) {
    this.saveDraft();
    this.open = conversation;
    this.section.dataset.view = "chat";
    const peer = this.peerOf(conversation);
    this.part.peerName.textContent = nameOf(peer);
    paintAvatar(this.part.peerAvatar, peer);
    this.part.input.value = conversation.draft || "";
    this.showChat();
    this.showThread();
    this.part.input.focus();
    try {
      await this.loadHistory(conversation);
    } catch (error) {
      this.toast("The messages could not be read", error.message);
    }
  }

  leave() {
    this.saveDraft();
    const { id } = this.open;
    this.open = null;
    delete this.section.dataset.view;
    this.showChat();
    this.part.conversations.querySelector(`[data-key="c${id}"]`)?.focus();
  }

  showChat() {
    const { chatHead, thread, composer, placeholder } = this.part;
    for (const element of [chatHead, thread, composer]) element.hidden = this.open === null;
    placeholder.hidden = this.open !== null;
    this.showTyping();
    this.showLists();
  }

  showThread() {
    this.thread.show(this.open, this.bus.outbox.filter(({ conversationId }) => conversationId === this.open.id));
  }

  async loadHistory(conversation) {
    const list = await this.readMessages(conversation, "");
    if (!conversation.loaded) conversation.more = list.length === HISTORY;
    conversation.loaded = true;
    this.merge(conversation, list);
  }

  async loadEarlier() {
    const conversation = this.open;
    const list = await this.readMessages(conversation, `&before_seq=${conversation.messages[0].seq}`);
    conversation.more = list.length === HISTORY;
    this.merge(conversation, list);
    this.part.thread.scrollTop = 0;
  }

  readMessages({ id }, which) {
    return this.bus.request(`/api/v1/conversations/${id}/messages/?limit=${HISTORY}${which}`);
  }

  merge(conversation, list) {
    const all = new Map([...conversation.messages, ...list].map((message) => [message.id, message]));
    conversation.messages = Array.from(all.values()).sort((a, b) => a.seq - b.seq);
    if (conversation !== this.open) return;
    this.showThread();
    this.markRead();
  }

  saveDraft() {
    if (!this.open) return;
    this.open.draft = this.part.input.value;
    this.bus.typing(this.open.id, false);
  }

  sendDraft() {
    const content = this.part.input.value.trim();
    if (content === "") return;
    this.part.input.value = "";
    this.send(this.open, content);
    this.bus.typing(this.open.id, false);
  }

  /** Sends; the `outbox` event tells how it ends, except where it cannot even begin. */
  send(conversation, content) {
    this.bus.send(conversation.id, content).catch((error) => {
      if (error.code === "outbox_full") this.toast("Not sent", error.message);
    });
  }

  /** What is on show and in view is read. */
  markRead() {
    if (!this.open || document.visibilityState !== "visible") return;
    const last = this.open.messages.filter(({ sender }) => sender.id !== this.user.id).pop();
    if (last) this.bus.markRead(this.open.id, last.id);
    if (this.open.unread === 0) return;
    this.open.unread = 0;
    this.showLists();
  }

  // ---- What the bus tells ----------------------------------------------------------------------------------------------

  onOutbox(entry) {
    const conversation = this.conversations.get(entry.conversationId);
    if (!conversation) return;
    if (entry.status === "queued" && conversation === this.open) this.thread.addWaiting(entry);
    if (entry.status === "failed") this.thread.fail(conversation, entry, () => this.send(conversation, entry.content));
  }

  onMessage({ message }) {
    const conversation = this.conversations.get(message.conversation_id);
    if (!conversation) return this.seek();
    if (conversation.messages.some(({ id }) => id === message.id)) return;
    conversation.messages.push(message);
    if (message.seq > conversation.lastSeq) {
      if (message.sender.id !== this.user.id) conversation.unread += 1;
      Object.assign(conversation, { last: message, lastSeq: message.seq });
    }
    if (message.sender.id !== this.user.id) this.setTyping(conversation, false);
    this.conversations.delete(conversation.id);
    this.conversations = new Map([[conversation.id, conversation], ...this.conversations]);
    if (conversation === this.open) {
      this.thread.add(message);
      this.markRead();
    }
    this.showLists();
  }

  onResync({ conversationIds }) {
    for (const id of conversationIds) {
      const conversation = this.conversations.get(id);
      if (conversation) Object.assign(conversation, { messages: [], loaded: false, lastSeq: 0 });
    }
    this.reload();
  }

  onReadReceipt({ conversation_id: id, message_id: messageId, user_id: userId }) {
    const conversation = this.conversations.get(id);
    if (!conversation || userId === this.user.id) return;
    conversation.readUpTo = Math.max(conversation.readUpTo, messageId);
    if (conversation === this.open) this.thread.repaint();
  }

  onTyping({ conversation_id: id, user_id: userId, is_typing: isTyping }) {
    const conversation = this.conversations.get(id);
    if (conversation && userId !== this.user.id) this.setTyping(conversation, isTyping);
  }

  setTyping(conversation, isTyping) {
    clearTimeout(conversation.typingTimer);
    conversation.typing = isTyping;
    if (isTyping) conversation.typingTimer = setTimeout(() => this.setTyping(conversation, false), TYPING_ENDS_MS);
    this.showTyping();
  }

  showTyping() {
    const isTyping = this.open !== null && this.open.typing;
    this.part.typing.textContent = isTyping ? `${nameOf(this.peerOf(this.open))} is typing…` : "";
  }

  onUserStatus({ user_id: id, username, is_online: online }) {
    if (id === this.user.id) return;
    this.learn({ id, username }, online);
    this.showLists();
  }

  showPresence(online) {
    this.part.peerPresence.textContent = online ? "online" : "offline";
    this.part.peerPresence.dataset.online = online;
  }

  onNewMatch({ data: { match } }) {
    const peer = this.learn(match.user);
    this.liked.delete(peer.id);
    const greet = make("button", { type: "button", className: "primary", text: "Say hello", data: { testid: "say-hello" } });
    const toast = this.toast("It’s a match!", `You and ${nameOf(peer)} like each other.`, greet);
    toast.dataset.testid = "match-toast";
    greet.addEventListener("click", async () => {
      toast.remove();
      if (!this.conversations.has(match.conversation_id)) await this.reload();
      const conversation = this.conversations.get(match.conversation_id);
      if (conversation) this.enter(conversation);
    });
    this.reload();
  }

  onNewLike({ data: { liker } }) {
    const person = this.learn(liker);
    this.liked.set(person.id, "likes-you");
    this.showLists();
    this.toast(`${nameOf(person)} likes you`, "Like them back for a match.");
  }

  /** A note that goes by itself, unless it has a button to press. */
  toast(title, text = "", ...buttons) {
    const words = make("p", {}, make("strong", { text: title }), ` ${text}`);
    const dismiss = make("button", { type: "button", className: "quiet", text: "×", ariaLabel: "Dismiss" });
    const toast = make("div", { className: "toast", data: { testid: "toast" } }, words, ...buttons, dismiss);
    dismiss.addEventListener("click", () => toast.remove());
    if (buttons.length === 0) setTimeout(() => toast.remove(), TOAST_MS);
    this.part.toasts.append(toast);
    return toast;
  }
}
