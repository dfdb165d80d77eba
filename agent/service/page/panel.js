// What counts for the list, to be seen and changed; a drawer where the window is narrow.

import { byId, icon, make } from "./dom.js";
import { errorNote } from "./log.js";
import { titleOf } from "./session.js";
import { put, say, situation } from "./words.js";

/** @typedef {import("./api.js").State} State */
/** @typedef {(changes: Partial<State>) => Promise<void>} OnEdit rejects where the server refuses */

const OPERATOR = { number: ">= ", values: "has ", text: "has " };
const WIDE = matchMedia("(min-width: 60rem)");

const panel = byId("panel");
const toggle = byId("panel-toggle");

/** @type {State} */
export const NOTHING = { wishes: [], filters: [], exclude: [], context: {}, events: [] };

/** @type {State} */
let shown = NOTHING;
/** @type {import("./api.js").About|null} */
let about = null;
/** @type {OnEdit} */
let onEdit = async () => {};

/** @param {OnEdit} edit */
export function startPanel(edit) {
  onEdit = edit;
  toggle.addEventListener("click", () => setDrawer(true));
  byId("panel-close").addEventListener("click", () => setDrawer(false));
  byId("backdrop").addEventListener("click", () => setDrawer(false));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && panel.classList.contains("open")) setDrawer(false);
  });
  WIDE.addEventListener("change", () => setDrawer(false));
  byId("add-filter-form").addEventListener("submit", addFilter);
  byId("add-filter").addEventListener("input", () => byId("panel-error").replaceChildren());
  setDrawer(false);
}

/** @param {boolean} open */
function setDrawer(open) {
  const was = panel.classList.contains("open");
  panel.classList.toggle("open", open);
  panel.inert = !open && !WIDE.matches;
  byId("backdrop").hidden = !open;
  document.querySelector("main")?.toggleAttribute("inert", open);
  toggle.setAttribute("aria-expanded", String(open));
  if (open) panel.focus();
  else if (was) toggle.focus();
}

/** @param {import("./api.js").About} described */
export function describe(described) {
  about = described;
  byId("users").replaceChildren(...described.users.map((user) => make("option", { value: user })));
  const examples = Object.entries(described.fields).map(
    ([name, kind]) => `${name} ${OPERATOR[/** @type {keyof typeof OPERATOR} */ (kind)] ?? "== "}`,
  );
  byId("fields").replaceChildren(...examples.map((value) => make("option", { value })));
  showState(shown);
}

/** @param {State} state */
export function showState(state) {
  shown = state;
  for (const name of /** @type {("wishes"|"filters"|"exclude")[]} */ (["wishes", "filters", "exclude"])) {
    const chips = state[name].map((text) =>
      chip(text, () => edit({ [name]: shown[name].filter((one) => one !== text) })),
    );
    fill(name, chips);
  }
  fill("context", Object.entries(state.context).map(([field, value]) =>
    chip(`${situation(field)}: ${situation(value)}`, () => setContext(field, "")),
  ));
  fill("events", state.events.map((event) =>
    chip(titleOf(event.id), () => edit({ events: shown.events.filter((one) => one !== event) }), event.event),
  ));
  showFields();
  showCount();
}

/**
 * @param {string} text
 * @param {() => void} onclick
 * @param {string} [act] what was said of the item that the chip names
 */
function chip(text, onclick, act) {
  const remove = make("button", { type: "button", onclick }, icon("close"));
  put(remove, "remove", { what: text }, "sayLabel");
  const said = act ? put(make("span", { class: "visually-hidden" }), act) : null;
  return make("li", { class: "chip", "data-value": text }, act ? icon(act) : null, said, make("span", {}, text), remove);
}

/**
 * @param {string} id
 * @param {HTMLElement[]} chips
 */
function fill(id, chips) {
  const list = byId(id);
  const at = Array.from(list.children).findIndex((one) => one.contains(document.activeElement));
  list.replaceChildren(...(chips.length ? chips : [put(make("li", { class: "none" }), "none")]));
  if (at >= 0) (chips[Math.min(at, chips.length - 1)]?.querySelector("button") ?? panel).focus();
}

/** Selects for the situation; a value that the catalogue's domain does not list is kept as one more option. */
function showFields() {
  const fields = Object.entries(about?.context ?? {}).map(([field, values]) => {
    const id = `context-${field}`;
    const chosen = shown.context[field] ?? "";
    const all = chosen && !values.includes(chosen) ? [...values, chosen] : values;
    const options = all.map((value) => make("option", { value, selected: value === chosen }, situation(value)));
    const none = make("option", { value: "" }, say("any"));
    const select = make("select", { id, "data-field": field }, none, ...options);
    select.addEventListener("change", () => setContext(field, /** @type {HTMLSelectElement} */ (select).value));
    return make("div", {}, make("label", { for: id }, situation(field)), select);
  });
  const focused = document.activeElement?.closest("#context-fields select")?.id;
  byId("context-fields").replaceChildren(...fields);
  if (focused) byId(focused)?.focus();
}

function showCount() {
  const { wishes, filters, exclude, context, events } = shown;
  const count = wishes.length + filters.length + exclude.length + Object.keys(context).length + events.length;
  byId("panel-count").textContent = String(count);
  byId("panel-count").hidden = count === 0;
}

/**
 * @param {string} field
 * @param {string} value "" takes the field away
 */
function setContext(field, value) {
  const { [field]: _, ...others } = shown.context;
  edit({ context: value ? { ...others, [field]: value } : others });
}

/** @param {SubmitEvent} event */
async function addFilter(event) {
  event.preventDefault();
  const input = byId("add-filter");
  const text = input.value.trim();
  if (text && (await edit({ filters: [...shown.filters, text] }))) input.value = "";
}

/**
 * Change the session; what the server refuses is said here, beside the field, and nothing changes.
 * @param {Partial<State>} changes
 * @returns {Promise<boolean>} whether it was accepted
 */
async function edit(changes) {
  byId("panel-error").replaceChildren();
  try {
    await onEdit(changes);
    return true;
  } catch (error) {
    byId("panel-error").replaceChildren(errorNote(/** @type {import("./api.js").ApiError} */ (error)));
    showState(shown);
    return false;
  }
}
