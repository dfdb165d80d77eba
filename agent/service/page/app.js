// The page: a conversation with the server, its lists, and what counts for them.

import * as api from "./api.js";
import { List } from "./cards.js";
import { byId } from "./dom.js";
import * as log from "./log.js";
import { describe, NOTHING, showState, startPanel } from "./panel.js";
import { begin, freshId, keep, rememberTitles, session } from "./session.js";
import { put, say, speak, spoken } from "./words.js";

/** @typedef {import("./api.js").Item} Item */
/** @typedef {import("./api.js").State} State */

const LANGUAGE = "tastemaker.language";
const THEME = "tastemaker.theme";
const LIST_LENGTH = 5;
const CHINESE = /[\u3400-\u9fff]/;

/** @type {import("./api.js").About|null} */
let about = null;
/** @type {List|null} the list that stands */
let list = null;
/** @type {State} */
let state = NOTHING;
/** Edits made before the server knows the session. @type {Partial<State>} */
let draft = {};
let stop = new AbortController();
/** @type {Promise<void>} */
let last = Promise.resolve();
let refreshes = 0;

/**
 * Do one thing after the other; nothing of it where the session has changed meanwhile.
 * @param {() => Promise<void>} task
 * @returns {Promise<void>}
 */
function inTurn(task) {
  const id = session.id;
  const done = last.then(() => (session.id === id ? task() : undefined));
  last = done.catch(() => {});
  return done;
}

/** @param {unknown} error */
function tell(error) {
  if (/** @type {Error} */ (error).name === "AbortError") return;
  if (!(error instanceof api.ApiError)) console.error(error);
  log.endWelcome();
  log.errorTurn(error instanceof api.ApiError ? error : new api.ApiError(api.UNREACHED, { message: String(error) }));
}

/** @param {State} now */
function setState(now) {
  state = now;
  showState({ ...NOTHING, ...state, ...draft });
}

/** The list of a new turn; the one before it is folded. */
function newList() {
  list?.retire();
  list = new List(act);
  return list;
}

/** @param {string} text */
async function send(text) {
  if (!text) return;
  const message = byId("message");
  message.value = "";
  fit(message);
  try {
    await inTurn(() => answer(text));
  } catch (error) {
    tell(error);
    if (!message.value) message.value = text;
    fit(message);
  }
}

/**
 * One turn, as it streams in.
 * @param {string} text
 */
async function answer(text) {
  log.endWelcome();
  log.userTurn(text);
  const turn = new log.ReplyTurn();
  /** @type {import("./api.js").Reply|null} */
  let reply = null;
  /** @type {List|null} */
  let shown = null;
  try {
    for await (const piece of api.turn(question(text), stop.signal)) {
      if (piece.text) turn.add(piece.text);
      if (!piece.reply) continue;
      reply = piece.reply;
      if (!reply.recommendation) continue;
      shown ??= newList();
      rememberTitles(reply.recommendation.items);
      shown.show(reply.recommendation, false);
      turn.hold(shown);
    }
    if (reply === null) throw new api.ApiError(api.CUT_OFF);
  } catch (error) {
    // Of an answer that broke off after its list, the list stands.
    if (reply === null || /** @type {Error} */ (error).name === "AbortError") throw error;
    tell(error);
  } finally {
    if (reply) turn.settle(reply);
    if (shown && reply?.recommendation) shown.show(reply.recommendation, true);
    turn.end();
  }
  if (reply.kind === "reset") list?.retire();
  if (reply.state.doubt) turn.ask((word) => send(say(`${word}_turn`)));
  await learn(reply.state);
}

/** @param {string} text */
function question(text) {
  return {
    messages: [{ role: "user", content: text }],
    session_id: session.id,
    user: session.user || undefined,
    context: draft.context,
    k: LIST_LENGTH,
    language: CHINESE.test(text) ? "zh" : spoken(),
  };
}

/**
 * Take in the state after a turn, and hand the server the edits that were made before it knew the session.
 * @param {State} now
 */
async function learn(now) {
  const waiting = draft;
  draft = {};
  session.known = true;
  keep();
  setState(now);
  if (!Object.keys(waiting).length) return;
  const { filters = [], context = {} } = waiting;
  const changes = { filters: [...now.filters, ...filters], context: { ...now.context, ...context } };
  await change(changes);
  await showList();
}

/** @param {Partial<State>} changes */
async function change(changes) {
  try {
    setState((await api.editSession(session.id, changes)).state);
    session.known = true;
    keep();
  } catch (error) {
    if (session.known || !(error instanceof api.ApiError && error.status === 404)) throw error;
    draft = { ...draft, ...changes };
    setState(state);
  }
}

/**
 * An edit of the panel.
 * @param {Partial<State>} changes
 */
async function edit(changes) {
  await inTurn(() => change(changes));
  refresh();
}

/** Ask for the list that the session stands for now; of several waiting requests only the last is made. */
async function refresh() {
  const mine = ++refreshes;
  await inTurn(async () => {
    if (mine === refreshes && session.known) await showList();
  }).catch(tell);
}

async function showList() {
  const question = { session_id: session.id, user_id: session.user || undefined, k: LIST_LENGTH };
  const [answer, kept] = await Promise.all([api.recommend(question), api.getSession(session.id)]);
  rememberTitles(answer.items);
  placed().show(answer, true, true);
  setState(kept.state);
  put(byId("status"), "list_new");
}

/** The list that stands, in the last turn: where it is further up, a new one is put at the end. */
function placed() {
  if (list?.element.parentElement && log.isLastTurn(list.element.parentElement)) return list;
  log.endWelcome();
  const turn = new log.ReplyTurn();
  const fresh = newList();
  turn.hold(fresh);
  turn.end();
  return fresh;
}

/**
 * Something was said of an item by a button.
 * @param {string} name
 * @param {Item} item
 * @param {List} of
 */
async function act(name, item, of) {
  const card = of.cards.get(item.id)?.element;
  if (card?.classList.contains("leaving")) return;
  card?.classList.add("leaving");
  const event = {
    event_id: freshId(),
    event: name,
    item_id: item.id,
    session_id: session.id,
    user_id: session.user || undefined,
    request_id: of.requestId,
  };
  try {
    await inTurn(async () => void (await api.feedback(event)));
    await refresh();
  } catch (error) {
    tell(error);
  } finally {
    card?.classList.remove("leaving");
  }
}

/** Start anew for this user; "" is nobody. */
function newSession(user = "") {
  stop.abort();
  stop = new AbortController();
  if (session.known) draft = {};
  begin(user);
  list = null;
  log.welcome(about?.domain ?? "", send);
  showUser();
  setState(NOTHING);
}

function showUser() {
  byId("user").value = session.user;
  byId("nobody").hidden = !session.user;
}

/** Show a session that this tab was in before it was loaded again. */
async function restore() {
  const kept = await api.getSession(session.id).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  if (kept === null) return newSession(session.user);
  if (kept.turns.length) log.endWelcome();
  for (const [at, one] of kept.turns.entries()) {
    log.userTurn(one.text);
    const turn = new log.ReplyTurn();
    const isLast = at === kept.turns.length - 1;
    if (isLast) turn.add(one.reply);
    else turn.settle({ ...one, text: one.reply, asks: false, recommendation: null, state: kept.state });
    turn.end();
    if (isLast) turn.hold(newList());
  }
  setState(kept.state);
  await showList();
}

/** @param {HTMLTextAreaElement} message */
function fit(message) {
  message.style.height = "auto";
  message.style.height = `${message.scrollHeight}px`;
}

/** The other theme than the one shown; kept only where it is not the system's own. */
function switchTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const shown = document.documentElement.dataset.theme ?? system;
  const wanted = shown === "dark" ? "light" : "dark";
  if (wanted === system) {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(THEME);
  } else {
    document.documentElement.dataset.theme = wanted;
    localStorage.setItem(THEME, wanted);
  }
}

/** @param {string} chosen */
function switchLanguage(chosen) {
  localStorage.setItem(LANGUAGE, chosen);
  byId("language").value = chosen;
  speak(chosen === "zh" ? "zh" : "en");
  setState(state);
  if (log.isFresh()) log.welcome(about?.domain ?? "", send);
  if (about) showAbout(about);
}

/** @param {import("./api.js").About} found */
function showAbout(found) {
  about = found;
  put(byId("catalogue"), "catalogue", { items: found.items.toLocaleString(spoken()), nouns: found.nouns });
  const model = found.model ?? say("no_model");
  put(byId("made-by"), "made_by", { name: found.name, version: found.version, model });
  describe(found);
}

/**
 * @param {string} message
 * @returns {Promise<string|null>}
 */
function askForKey(message) {
  const dialog = byId("key");
  byId("key-message").textContent = message;
  byId("key-value").value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  return new Promise((resolve) => {
    const given = () => resolve(dialog.returnValue === "ok" ? byId("key-value").value.trim() : null);
    dialog.addEventListener("close", given, { once: true });
  });
}

function listen() {
  const message = byId("message");
  byId("composer").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    send(message.value.trim());
  });
  message.addEventListener("input", () => fit(message));
  message.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send(message.value.trim());
  });
  document.addEventListener("keydown", (event) => {
    const typing = /** @type {Element} */ (event.target).closest("input, textarea, select, dialog");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    message.focus();
  });
  byId("undo").addEventListener("click", () => send(say("undo_turn")));
  byId("reset").addEventListener("click", () => send(say("reset_turn")));
  byId("theme").addEventListener("click", switchTheme);
  byId("language").addEventListener("change", () => switchLanguage(byId("language").value));
  byId("nobody").addEventListener("click", () => newSession());
  byId("user").addEventListener("change", () => {
    const user = byId("user").value.trim();
    newSession(user === say("nobody") ? "" : user);
  });
}

async function start() {
  api.onKeyWanted(askForKey);
  startPanel(edit);
  listen();
  switchLanguage(localStorage.getItem(LANGUAGE) ?? (navigator.language.startsWith("zh") ? "zh" : "en"));
  showUser();
  try {
    showAbout(await api.about());
    if (session.known) await restore();
    else log.welcome(about?.domain ?? "", send);
  } catch (error) {
    tell(error);
  }
  if (matchMedia("(pointer: fine)").matches) byId("message").focus();
}

start();
