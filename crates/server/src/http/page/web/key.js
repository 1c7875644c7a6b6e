// The API key, where the server wants one: kept for this tab only.

const KEPT_AS = "wyoming-stt.key";

let key = null;
try {
  key = sessionStorage.getItem(KEPT_AS);
} catch {
  // The browser keeps nothing for this page: the key lasts until it is closed.
}

/** The key, or null. */
export function get() {
  return key;
}

/** Whether a server can have such a key: printable ASCII without spaces. */
export function isPossible(text) {
  return /^[\x21-\x7e]{1,512}$/.test(text);
}

export function set(text) {
  key = text;
  try {
    sessionStorage.setItem(KEPT_AS, text);
  } catch {
    // As above.
  }
}

export function forget() {
  key = null;
  try {
    sessionStorage.removeItem(KEPT_AS);
  } catch {
    // It was not kept.
  }
}
