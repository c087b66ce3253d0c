/** The demo page: two panels side by side, for the demo's users or for two whose tokens are pasted. */
"use strict";

const SOCKET_URL = `${location.origin.replace(/^http/, "ws")}/ws/chat/`;

let panels = [];

/** The users that the server wrote into the page, each `{id, username, first_name, token}`; none outside the demo. */
function usersIn(json) {
  try {
    return JSON.parse(json).users;
  } catch (error) {
    return [];
  }
}

/** A demo server writes fresh tokens into the page each time it is asked; a pasted token cannot be refreshed. */
async function tokenOf(user, { refresh }) {
  if (!refresh) return user.token;
  const response = await fetch("/", { cache: "no-store" });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const [, json] = /id="demo">([^<]*)</.exec(await response.text()); // a DOMParser would object to the style's nonce
  const found = usersIn(json).find(({ id }) => id === user.id);
  user.token = found ? found.token : null;
  return user.token;
}

/** Who a token speaks of, by its own account: the server judges it, this only reads the name tag. */
function userOfToken(token) {
  const payload = JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));
  const id = Number(payload.user_id);
  if (!Number.isInteger(id)) throw new Error("no user_id");
  return { id, username: `user ${id}`, first_name: "", token };
}

/** The tab's own storage, where the browser allows one. */
function tabStorage() {
  try {
    return window.sessionStorage;
  } catch (error) {
    return null;
  }
}

function makePanel(index, users, user) {
  return new Panel({
    index,
    users,
    user,
    url: SOCKET_URL,
    storage: tabStorage(),
    tokenProvider: tokenOf,
    onSignedOut: askForTokens,
    onSwitch(panel, userId) {
      panel.end();
      panels[index] = makePanel(index, users, users.find(({ id }) => id === userId));
      panel.section.replaceWith(panels[index].section);
      panels[index].part.switcher.focus();
    },
  });
}

function show(users) {
  for (const panel of panels) panel.end();
  panels = [0, 1].map((index) => makePanel(index, users, users[index]));
  find("panels").replaceChildren(...panels.map(({ section }) => section));
}

function askForTokens() {
  find("tokens").hidden = false;
}

function takeTokens(event) {
  event.preventDefault();
  const problem = find("tokens").querySelector('[role="alert"]');
  problem.textContent = "";
  try {
    show(new FormData(find("tokens")).getAll("token").map((token) => userOfToken(token.trim())));
    find("tokens").hidden = true;
  } catch (error) {
    problem.textContent = "That is no access token: it has three parts with dots between them and names a user.";
  }
}

find("tokens").addEventListener("submit", takeTokens);
window.addEventListener("online", () => panels.forEach(({ bus }) => bus.retry()));
document.addEventListener("visibilitychange", () => panels.forEach((panel) => panel.markRead()));

const demoUsers = usersIn(find("demo").textContent);
if (demoUsers.length >= 2) show(demoUsers);
else askForTokens();
