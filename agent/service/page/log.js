// The conversation as it stands on the page: turns, replies, errors.

import { CUT_OFF, UNREACHED } from "./api.js";
import { byId, make } from "./dom.js";
import { List } from "./cards.js";
import { put, say, suggestions } from "./words.js";

/** @typedef {import("./api.js").Reply} Reply */
/** @typedef {import("./api.js").ApiError} ApiError */

/** A line of a reply that its cards show better: "1. Title", "1 – why", and the start of one still coming. */
const CARD_LINE = /^\d{1,3}(?:$|\. | – |：)/;

const log = byId("log");

/** @param {boolean} smooth */
const scrolling = (smooth) =>
  smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches ? "smooth" : "auto";

/**
 * @param {"user"|"assistant"} role
 * @param {...Node} children
 */
function turn(role, ...children) {
  const element = make("article", { class: "turn", "data-role": role }, ...children);
  log.append(element);
  return element;
}

/** @param {string} text */
export function userTurn(text) {
  const element = turn("user", make("p", { class: "text" }, text));
  element.scrollIntoView({ block: "start", behavior: scrolling(true) });
}

/** A reply: its words, with buttons where they are a question, then the list. */
export class ReplyTurn {
  constructor() {
    this.raw = "";
    this.text = put(make("p", { class: "text waiting" }), "thinking");
    this.element = turn("assistant", this.text);
    this.element.setAttribute("aria-busy", "true");
  }

  /** @param {string} piece */
  add(piece) {
    this.raw += piece;
    this.#write(withoutCardLines(this.raw));
  }

  /** @param {Reply} reply */
  settle(reply) {
    this.raw = reply.text;
    this.#write(reply.recommendation?.items.length ? withoutCardLines(reply.text) : reply.text);
  }

  /** @param {List} list */
  hold(list) {
    if (list.element.parentElement === this.element) return;
    this.element.append(list.element);
    showLastExchange();
  }

  /** Nothing more comes. A reply without words of its own is its list alone, and one without either goes. */
  end() {
    this.element.removeAttribute("aria-busy");
    if (this.text.classList.contains("waiting")) this.text.remove();
    if (!this.element.childElementCount) this.element.remove();
  }

  /** @param {(answer: "yes"|"no") => void} onAnswer */
  ask(onAnswer) {
    const button = (/** @type {"yes"|"no"} */ answer) =>
      put(make("button", { class: "outlined", type: "button", "data-answer": answer, onclick: () => onAnswer(answer) }), answer);
    this.text.after(make("div", { class: "answers" }, button("yes"), button("no")));
  }

  /** @param {string} text */
  #write(text) {
    if (!text.trim()) return;
    this.text.classList.remove("waiting");
    delete this.text.dataset.say;
    this.text.textContent = text.trim();
  }
}

/** @param {string} text */
function withoutCardLines(text) {
  return text.split("\n").filter((line) => !CARD_LINE.test(line)).join("\n");
}

/** @param {ApiError} error */
export function errorTurn(error) {
  const element = turn("assistant", errorNote(error));
  element.scrollIntoView({ block: "nearest", behavior: scrolling(true) });
}

/**
 * The server's message and hint.
 * @param {ApiError} error
 */
export function errorNote(error) {
  const untold = { [UNREACHED]: "unreachable", [CUT_OFF]: "cut_off" }[error.status];
  const message = error.message || say(untold ?? "failed", { status: error.status });
  const hint = error.hint || (untold ? say("again_hint") : "");
  return make("div", { class: "error" }, make("p", {}, message), hint ? make("p", { class: "hint" }, hint) : null);
}

/**
 * An empty conversation.
 * @param {string} domain "" while it is not known
 * @param {(text: string) => void} onSuggestion
 */
export function welcome(domain, onSuggestion) {
  const buttons = suggestions(domain).map((text) =>
    make("button", { class: "outlined", type: "button", onclick: () => onSuggestion(text) }, text),
  );
  log.replaceChildren(
    make(
      "section",
      { class: "welcome" },
      put(make("h2"), "welcome"),
      put(make("p"), "welcome_more"),
      make("div", { class: "answers" }, ...buttons),
    ),
  );
}

export const isFresh = () => log.querySelector(".turn") === null;

export const endWelcome = () => log.querySelector(".welcome")?.remove();

/** @param {Element} element */
export const isLastTurn = (element) => log.lastElementChild === element;

/** Bring the start of the last exchange to the top: its answer is read from the beginning. */
function showLastExchange() {
  const users = log.querySelectorAll(".turn[data-role=user]");
  users[users.length - 1]?.scrollIntoView({ block: "start", behavior: scrolling(true) });
}
