// Asks for an API key, where the server wants one.

import * as key from "./key.js";

const at = (id) => document.getElementById(id);

/** The key that there may be is not one of the server's; whether there was one. */
export function showKeyForm() {
  const hadKey = key.get() !== null;
  key.forget();
  at("key-form").hidden = false;
  return hadKey;
}

/** `onKey` is called when a key was given. */
export function onKey(call) {
  at("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = at("key").value.trim();
    if (!key.isPossible(given)) {
      at("key-why").textContent = "An API key has letters, digits and signs of ASCII, without spaces.";
      return;
    }
    key.set(given);
    at("key").value = "";
    at("key-form").hidden = true;
    call();
  });
}
