// Sound files: chosen by the button, or dropped anywhere on the page.

const at = (id) => document.getElementById(id);

/** `take` gets each file. */
export function onFile(take) {
  at("choose").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", () => {
    const [file] = at("file").files;
    if (file) take(file);
    // The same file may be chosen again.
    at("file").value = "";
  });
  // A browser opens a dropped file in the page's place, unless the page takes it.
  window.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("is-dropping");
  });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("is-dropping");
  });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("is-dropping");
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}
