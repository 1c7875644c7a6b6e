// Text that leaves the page: into the clipboard, or as a file.

/** Puts text into the clipboard; false where the browser refuses. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Puts text into the clipboard, and says on the button that was pressed, and to screen readers, how that went. */
export async function copyBy(button, text) {
  const said = (await copy(text)) ? "Copied" : "Not copied";
  const label = "Copy";
  button.textContent = said;
  document.getElementById("announce").textContent = said;
  setTimeout(() => { button.textContent = label; }, 2_000);
}

/** Pages that are not from https:// have no `navigator.clipboard`. */
function copyBySelection(text) {
  const field = document.createElement("textarea");
  const focused = document.activeElement;
  field.value = text;
  field.readOnly = true;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return isCopied;
}

/** Saves text as a file of this name. */
export function save(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
