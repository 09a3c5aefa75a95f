/* Messages on a page: earlier ones on demand, code that can be copied. */

import { localise } from "./times.js";

/** Dress the messages within `root`: local times, a button to copy each block of code. */
export function dress(root) {
  localise(root);
  const words = document.getElementById("message-words").dataset;
  for (const block of root.querySelectorAll(".body pre:not(.code > pre)")) {
    const frame = document.createElement("div");
    frame.className = "code";
    block.replaceWith(frame);
    frame.append(block, copyButton(block, words));
  }
}

function copyButton(block, words) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = words.copy;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.textContent);
    button.textContent = words.copied;
    setTimeout(() => (button.textContent = words.copy), 2000);
  });
  return button;
}

/** Bring earlier messages in above, without moving what is being read. */
async function bringEarlier(link) {
  const answer = await fetch(link.href);
  if (!answer.ok || answer.redirected) return location.assign(link.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const list = document.getElementById("messages");
  const rows = [...page.querySelectorAll("#messages > li")].filter(
    (row) => !document.getElementById(row.id),
  );
  const fromEnd = document.documentElement.scrollHeight - scrollY;
  list.setAttribute("aria-live", "off");
  list.prepend(...rows);
  dress(list);
  scrollTo({ top: document.documentElement.scrollHeight - fromEnd, behavior: "instant" });
  list.setAttribute("aria-live", "polite");
  const next = page.querySelector("[data-earlier]");
  if (next) link.href = next.getAttribute("href");
  else link.parentElement.remove();
  return rows.at(-1)?.querySelector("footer a")?.focus({ preventScroll: true });
}

/** Dress what the page came with, and let its "Earlier messages" work in place. */
export function begin() {
  dress(document);
  const link = document.querySelector("[data-earlier]");
  link?.addEventListener("click", (event) => {
    event.preventDefault();
    bringEarlier(link).catch(() => location.assign(link.href));
  });
}
