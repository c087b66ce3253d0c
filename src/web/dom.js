/** Small tools of the page's scripts. Text enters the document by `textContent` only. */
"use strict";

const find = (id) => document.getElementById(id);
const nameOf = (user) => user.first_name || user.username;
const timeOf = (iso) => new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

/** An element with its properties, `className`, `text`, `data` attributes and children. */
function make(tag, { className, text, data = {}, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  Object.assign(element.dataset, data);
  element.append(...children);
  return element;
}

/** Words for those who do not see the sign beside them. */
function hiddenText(text) {
  return make("span", { className: "visually-hidden", text });
}

function paintAvatar(element, user) {
  element.textContent = nameOf(user).slice(0, 1).toUpperCase();
  element.dataset.hue = user.id % 6;
}

function avatarOf(user) {
  const element = make("span", { className: "avatar" });
  element.setAttribute("aria-hidden", "true");
  paintAvatar(element, user);
  return element;
}

/** Exchanges the items of a list and leaves the keyboard where it was. */
function refill(list, items) {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  list.replaceChildren(...items);
  if (focused !== null) list.querySelector(`[data-key="${focused}"]`)?.focus();
}
