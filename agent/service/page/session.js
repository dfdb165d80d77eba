// What this tab remembers: which session it is in, for whom, and the titles that it has shown.

const KEPT = "tastemaker.session";
const TITLES = "tastemaker.titles";

/**
 * `known`: the server has the session, because a turn or an edit has reached it.
 * @typedef {{id: string, user: string, known: boolean}} Session
 */

/** A random id. crypto.randomUUID is missing where the page is served over plain http. */
export function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @returns {Session} */
function restored() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
    if (kept?.id) return kept;
  } catch {
    // What cannot be read is as good as nothing kept.
  }
  return { id: freshId(), user: "", known: false };
}

/** @type {Session} */
export const session = restored();

export function keep() {
  sessionStorage.setItem(KEPT, JSON.stringify(session));
}

/**
 * A new session for this user; "" is nobody.
 * @param {string} user
 */
export function begin(user) {
  Object.assign(session, { id: freshId(), user, known: false });
  keep();
}

/** @type {Record<string, string>} */
const titles = JSON.parse(sessionStorage.getItem(TITLES) ?? "{}");

/** @param {{id: string, title: string}[]} items */
export function rememberTitles(items) {
  for (const item of items) titles[item.id] = item.title;
  sessionStorage.setItem(TITLES, JSON.stringify(titles));
}

/**
 * The title of an item that was shown before, else its id.
 * @param {string} id
 */
export const titleOf = (id) => titles[id] ?? id;
