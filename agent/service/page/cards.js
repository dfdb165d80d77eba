// A list of items as cards, and what speaks for each.

import { icon, make } from "./dom.js";
import { percent, put } from "./words.js";

/** @typedef {import("./api.js").Item} Item */
/** @typedef {import("./api.js").Evidence} Evidence */
/** @typedef {import("./api.js").Recommendation} Recommendation */
/** @typedef {(act: string, item: Item, list: List) => void} OnAct */

const ACTS = ["like", "dislike", "not_now", "seen", "more_like"];
const NAMED_BY_ICON = ["like", "dislike"];
const MAX_ATTRIBUTE_CHARS = 60;

/** A list, that a newer recommendation can be shown in: cards of items that stay are kept, open or not. */
export class List {
  /** @param {OnAct} onAct */
  constructor(onAct) {
    this.onAct = onAct;
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    this.requestId = "";
    this.rows = make("ol", { class: "cards" });
    this.notes = make("div", { class: "notes" });
    this.titles = make("span", { class: "titles" });
    const summary = make("summary", {}, put(make("span"), "list"), this.titles);
    this.element = make("details", { class: "list", open: "", "data-current": "" }, summary, this.notes, this.rows);
  }

  /**
   * @param {Recommendation} answer
   * @param {boolean} whole false while explanations may still come
   * @param {boolean} withNotes also what the answer says of the request, where no reply has said it
   */
  show(answer, whole, withNotes = false) {
    this.requestId = answer.request_id;
    const best = Math.max(...answer.items.map((item) => item.score), Number.EPSILON);
    const cards = answer.items.map((item) => {
      const card = this.cards.get(item.id) ?? new Card(item, this);
      card.show(item, item.score / best, whole);
      return card;
    });
    this.cards = new Map(cards.map((card) => [card.item.id, card]));
    this.titles.textContent = answer.items.map((item) => item.title).join(", ");
    this.#place(cards.map((card) => card.element));
    this.notes.replaceChildren(
      ...(withNotes ? answer.notes.map((text) => make("p", {}, text)) : []),
      ...(answer.trace?.degraded ? [degradedNote(answer.trace.degraded)] : []),
      ...(answer.items.length ? [] : [put(make("p"), "list_empty")]),
    );
  }

  /** Close the list when a newer one stands for the conversation; it can still be opened. */
  retire() {
    this.element.removeAttribute("open");
    delete this.element.dataset.current;
  }

  /**
   * Put the rows in their order; who was at a button of a row that goes is taken to the one in its place.
   * @param {HTMLElement[]} rows
   */
  #place(rows) {
    const before = Array.from(this.rows.children);
    if (before.length === rows.length && before.every((row, at) => row === rows[at])) return;
    const focused = /** @type {HTMLElement|null} */ (document.activeElement?.closest(".card button") ?? null);
    const at = before.findIndex((row) => row.contains(focused));
    this.rows.replaceChildren(...rows);
    if (focused === null || at < 0) return;
    const row = rows.find((one) => one.contains(focused)) ?? rows[Math.min(at, rows.length - 1)];
    const button = /** @type {HTMLElement|null} */ (row?.querySelector(`[data-act=${focused.dataset.act}]`) ?? null);
    (button ?? this.element.querySelector("summary"))?.focus({ preventScroll: true });
  }
}

class Card {
  /**
   * @param {Item} item
   * @param {List} list
   */
  constructor(item, list) {
    this.item = item;
    this.open = false;
    this.rank = make("span", { class: "rank" });
    this.score = make("div", { class: "score", role: "img" });
    this.words = make("p", { class: "words" });
    this.evidence = make("div", { class: "evidence", hidden: "" });
    this.why = actButton("why", item, () => this.toggle(!this.open));
    const acts = ACTS.map((act) => actButton(act, item, () => list.onAct(act, this.item, list)));
    this.element = make(
      "li",
      { class: "card", "data-id": item.id },
      this.rank,
      make("div", { class: "head" }, titleOf(item), this.score),
      attributesOf(item),
      this.words,
      make("div", { class: "acts" }, ...acts, this.why),
      this.evidence,
    );
  }

  /**
   * @param {Item} item
   * @param {number} share of the best item's score
   * @param {boolean} whole
   */
  show(item, share, whole) {
    const told = item.explanation;
    this.item = item;
    this.element.classList.remove("leaving");
    this.rank.textContent = String(item.rank);
    this.score.replaceChildren(bar(share), make("span", {}, percent(item.score)));
    put(this.score, "score", { share: percent(item.score) }, "sayLabel");
    this.words.classList.toggle("waiting", !told && !whole);
    if (told || whole) {
      delete this.words.dataset.say;
      this.words.textContent = told?.text ?? "";
    } else {
      put(this.words, "explaining");
    }
    this.why.hidden = !told;
    this.evidence.replaceChildren(...(told ? evidenceOf(told) : []));
    this.toggle(this.open && told !== null);
  }

  /** @param {boolean} open */
  toggle(open) {
    this.open = open;
    this.evidence.hidden = !open;
    this.why.setAttribute("aria-expanded", String(open));
  }
}

/** @param {Item} item */
function titleOf(item) {
  const title = make("h3", { class: "title" });
  const year = item.title.match(/ \(\d{4}\)$/)?.[0] ?? "";
  title.append(item.title.slice(0, item.title.length - year.length));
  if (year) title.append(make("span", { class: "year" }, year));
  return title;
}

/**
 * The short attributes; a year that the title tells is not told again.
 * @param {Item} item
 */
function attributesOf(item) {
  const row = make("ul", { class: "attributes" });
  for (const [name, value] of Object.entries(item.attributes ?? {})) {
    const texts = (Array.isArray(value) ? value : [value]).map(String);
    if (name === "year" && item.title.includes(`(${value})`)) continue;
    if (value === null || texts.some((text) => text.length > MAX_ATTRIBUTE_CHARS)) continue;
    const named = typeof value === "number" && name !== "year";
    row.append(...texts.map((text) => make("li", { "data-name": name }, named ? `${name} ${text}` : text)));
  }
  return row;
}

/**
 * @param {string} act
 * @param {Item} item
 * @param {() => void} onclick
 */
function actButton(act, item, onclick) {
  const button = make("button", { class: "quiet", type: "button", "data-act": act, onclick }, icon(act));
  if (!NAMED_BY_ICON.includes(act)) button.append(put(make("span"), act));
  return put(button, "act_on", { act, title: item.title }, "sayLabel");
}

/**
 * @param {number} share of the whole width
 */
function bar(share) {
  const filled = make("i");
  filled.style.width = `${100 * Math.min(Math.max(share, 0), 1)}%`;
  return make("span", { class: "bar" }, filled);
}

/** @param {import("./api.js").Explanation} told */
function evidenceOf(told) {
  const strongest = Math.max(...told.evidence.map((one) => Math.abs(one.influence ?? 0)), Number.EPSILON);
  const signed = told.evidence.some((one) => (one.influence ?? 0) < 0);
  const rows = told.evidence.map((one) => evidenceRow(one, strongest));
  const made = make(
    "p",
    { class: "made" },
    put(make("span"), told.verified ? "checked" : "unchecked"),
    " · ",
    put(make("span"), told.writer === "llm" ? "by_llm" : "by_template"),
  );
  if (!rows.length) return [put(make("p"), "no_reason"), made];
  return [put(make("p"), "evidence"), make("ul", { class: signed ? "pieces signed" : "pieces" }, ...rows), made];
}

/**
 * @param {Evidence} one
 * @param {number} strongest
 */
function evidenceRow(one, strongest) {
  const row = make("li", {}, put(make("span", { class: "kind" }), one.kind), make("span", { class: "piece" }, one.text));
  if (one.influence === null) return row;
  const sign = one.influence < 0 ? "−" : "+";
  const length = bar(Math.abs(one.influence) / strongest);
  if (one.influence < 0) length.classList.add("against");
  row.append(length, make("span", { class: "number" }, sign + Math.abs(one.influence).toFixed(2)));
  return row;
}

/** @param {string} reason */
function degradedNote(reason) {
  const note = make("p", { class: "degraded", role: "note" }, icon("note"));
  note.append(put(make("span"), "degraded", { reason }));
  return note;
}
