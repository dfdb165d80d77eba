// The server, as functions. Every failure is an ApiError with words for people.

const KEY = "tastemaker.key";

/**
 * @typedef {{kind: "history"|"fact"|"context"|"wish", ref: string, text: string, influence: number|null}} Evidence
 * @typedef {{text: string, verified: boolean, writer: string, evidence: Evidence[]}} Explanation
 * @typedef {{rank: number, id: string, title: string, score: number, attributes?: Record<string, any>,
 *   explanation: Explanation|null}} Item
 * @typedef {{request_id: string, notes: string[], items: Item[], trace: {degraded: string|null}}} Recommendation
 * @typedef {{event: string, id: string, time: number}} ItemEvent
 * @typedef {{wishes: string[], filters: string[], exclude: string[], context: Record<string, string>,
 *   events: ItemEvent[], doubt?: object|null}} State
 * @typedef {{kind: string, text: string, asks: boolean, recommendation: Recommendation|null, state: State}} Reply
 * @typedef {{name: string, version: string, domain: string, nouns: string, items: number, model: string|null,
 *   users: string[], context: Record<string, string[]>, fields: Record<string, string>}} About
 * @typedef {{id: string, user_id: string|null, state: State,
 *   turns: {text: string, reply: string, kind: string}[]}} KeptSession
 */

/** Instead of an HTTP status: the server was not reached, or its answer broke off. */
export const UNREACHED = 0;
export const CUT_OFF = -1;

/** What the server refused, or what came between. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {{message?: string, hint?: string}} [said]
   */
  constructor(status, said = {}) {
    super(said.message ?? "");
    this.status = status;
    this.hint = said.hint ?? "";
  }
}

/** @type {(message: string) => Promise<string|null>} */
let askForKey = async () => null;

/**
 * Have `ask` called when the server wants an API key; it resolves to the key, or to null to give up.
 * @param {(message: string) => Promise<string|null>} ask
 */
export function onKeyWanted(ask) {
  askForKey = ask;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
async function request(method, path, body, signal) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    /** @type {Record<string, string>} */
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), signal }).catch((error) => {
      throw error.name === "AbortError" ? error : new ApiError(UNREACHED);
    });
    if (response.ok) return response;
    const said = await response.json().then((answer) => answer.error ?? {}, () => ({}));
    const wrong = new ApiError(response.status, said);
    if (response.status !== 401) throw wrong;
    const given = await askForKey(wrong.message);
    if (given === null) throw wrong;
    sessionStorage.setItem(KEY, given);
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 */
const json = async (method, path, body) => (await request(method, path, body)).json();

/** @param {string} id */
const sessionPath = (id) => `/v1/sessions/${encodeURIComponent(id)}`;

/** @returns {Promise<About>} */
export const about = () => json("GET", "/v1/about");

/** @param {object} event */
export const feedback = (event) => json("POST", "/v1/feedback", { events: [event] });

/**
 * @param {object} question
 * @returns {Promise<Recommendation>}
 */
export const recommend = (question) => json("POST", "/v1/recommend", question);

/**
 * @param {string} id
 * @returns {Promise<KeptSession>}
 */
export const getSession = (id) => json("GET", sessionPath(id));

/**
 * @param {string} id
 * @param {Partial<State>} changes
 * @returns {Promise<KeptSession>}
 */
export const editSession = (id, changes) => json("PATCH", sessionPath(id), changes);

/**
 * One turn: pieces of text and replies as they come.
 * @param {object} body
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<{text: string, reply: Reply|null}>}
 */
export async function* turn(body, signal) {
  const response = await request("POST", "/v1/chat/completions", { ...body, stream: true }, signal);
  for await (const data of events(/** @type {ReadableStream} */ (response.body))) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ApiError(500, chunk.error);
    yield { text: chunk.choices?.[0]?.delta?.content ?? "", reply: chunk.tastemaker ?? null };
  }
  throw new ApiError(CUT_OFF);
}

/**
 * The data of server-sent events.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<string>}
 */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new ApiError(CUT_OFF);
    });
    if (done) return;
    const whole = (waiting + value).replaceAll("\r\n", "\n").split("\n\n");
    waiting = /** @type {string} */ (whole.pop());
    for (const event of whole) {
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}
