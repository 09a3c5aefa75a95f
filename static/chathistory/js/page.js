/* What every page does: times, questions before deleting, filters that apply themselves. */

import { localise } from "./times.js";

/** Ask in a dialog instead of on a page of its own. */
function confirmFirst(link) {
  const dialog = document.getElementById(link.dataset.confirm);
  if (!dialog) return;
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.querySelector("form").action = link.href;
    dialog.querySelector("[data-slot=title]").textContent = link.dataset.title;
    dialog.showModal();
  });
}

localise(document);
document.querySelectorAll("[data-confirm]").forEach(confirmFirst);
for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
for (const select of document.querySelectorAll("[data-submits]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
