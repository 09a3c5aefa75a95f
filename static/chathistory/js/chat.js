/* Talking: a question goes out, its answer streams in; what the server stored is what stays. */

import { events } from "./events.js";
import { begin, dress } from "./messages.js";

const words = document.getElementById("chat-words").dataset;
const list = document.getElementById("messages");
const again = document.getElementById("again");
const status = document.getElementById("status");
const form = document.getElementById("composer");
let frame = 0;

function start() {
  const field = form.elements.content;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    say(field.value);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  again.querySelector("button").addEventListener("click", retry);
  // Until now the browser would have sent the text in the page's address.
  form.querySelector("[data-send]").disabled = false;
  if (list.children.length && !location.hash && !location.search.includes("before=")) toEnd(true);
}

/** Send what was written; put it back where it was if the server did not take it. */
async function say(content) {
  if (!content.trim() || form.ariaBusy === "true") return;
  const question = row("user", content);
  form.elements.content.value = "";
  const taken = await ask({ content }, question);
  if (taken) return;
  question.remove();
  form.elements.content.value = content;
}

/** Ask for the last question's answer once more; the failed one stays in the chat's history. */
async function retry() {
  again.hidden = true;
  const failed = list.lastElementChild;
  if (failed?.classList.contains("failed")) failed.remove();
  await ask({}, null);
}

/** Ask, show the answer as it comes, and tell whether the question was stored. */
async function ask(body, question) {
  const stop = new AbortController();
  const answer = row("assistant", "");
  const progress = { taken: !question, ended: false, text: "" };
  busy(stop);
  answer.classList.add("live");
  try {
    const response = await post(await replyUrl(), body, stop.signal);
    for await (const event of events(response)) show(event, question, answer, progress);
    if (!progress.ended) fail(answer, words.lost);
  } catch (error) {
    if (progress.taken) fail(answer, stop.signal.aborted ? words.stopped : words.lost);
    else refuse(answer, error);
    if (!question && error instanceof Refused) complain(error.message);
  } finally {
    answer.classList.remove("live");
    busy(null);
  }
  return progress.taken;
}

function show({ name, data }, question, answer, progress) {
  const following = atEnd();
  if (name === "message") {
    progress.taken = true;
    if (question) settle(question, data);
  } else if (name === "delta") {
    progress.text += data.text;
    paint(answer, progress.text);
  } else if (name === "done") {
    progress.ended = true;
    settle(answer, data);
    status.textContent = words.answered;
  } else if (name === "error") {
    progress.ended = true;
    if (data.id) identify(answer, data.id);
    fail(answer, words.failed);
  }
  if (following) toEnd();
}

/** Show an answer on its way as plain text, at most once a frame; links by their words alone. */
function paint(answer, text) {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(() => {
    const following = atEnd();
    bodyOf(answer).textContent = text.replace(/\[([^\[\]]*)\]\([^()\s]*\)?/g, "$1");
    if (following) toEnd();
  });
}

/** Put in a message as the server stored it. */
function settle(item, message) {
  cancelAnimationFrame(frame);
  identify(item, message.id);
  const time = item.querySelector("time");
  time.dateTime = message.timestamp;
  const body = bodyOf(item);
  // The server has cleaned it: this is what a refresh would show.
  body.innerHTML = message.content_html;
  dress(item);
}

function identify(item, id) {
  item.id = `m-${id}`;
  const link = item.querySelector("footer a");
  link.href = `${words.read}${form.dataset.session}/?message=${id}#m-${id}`;
}

function fail(item, why) {
  item.classList.remove("live");
  item.classList.add("failed");
  again.querySelector("[data-slot=why]").textContent = why;
  again.hidden = false;
  status.textContent = why;
  toEnd();
}

/** The server took nothing: say why, beside what was written. */
function refuse(answer, error) {
  answer.remove();
  complain(error instanceof Refused ? error.message : words.unsent);
}

function complain(message) {
  const place = document.getElementById("composer-error");
  place.textContent = message;
  if (message === words.signedOut && words.login) {
    const link = document.createElement("a");
    Object.assign(link, { href: words.login, target: "_blank", textContent: words.signIn });
    place.append(" ", link);
  }
  place.hidden = !message;
}

/** While an answer comes, nothing else can be sent, but it can be stopped. */
function busy(stop) {
  form.ariaBusy = stop ? "true" : "false";
  list.setAttribute("aria-busy", stop ? "true" : "false");
  form.elements.content.readOnly = Boolean(stop);
  const [send, halt] = [form.querySelector("[data-send]"), form.querySelector("[data-stop]")];
  send.hidden = send.disabled = Boolean(stop);
  halt.hidden = !stop;
  halt.onclick = () => stop?.abort();
  if (stop) {
    again.hidden = true;
    complain("");
    document.getElementById("welcome")?.remove();
    status.textContent = words.answering;
    toEnd();
  } else {
    form.elements.content.focus({ preventScroll: true });
  }
}

function row(role, text) {
  const item = document.getElementById("message-template").content.cloneNode(true).firstElementChild;
  item.classList.add(role);
  item.querySelector("article").ariaLabel = role === "user" ? words.you : words.model;
  bodyOf(item).textContent = text;
  list.append(item);
  return item;
}

const bodyOf = (item) => item.querySelector(".body");
const page = document.documentElement;
const atEnd = () => page.scrollHeight - innerHeight - scrollY < 120;
const toEnd = (now) =>
  scrollTo({ top: page.scrollHeight, behavior: now ? "instant" : "auto" });

/** The address to ask at; the first question of a new chat makes its session. */
async function replyUrl() {
  const { api, workflow } = form.dataset;
  if (!form.dataset.session) {
    const made = await (await post(api, { workflow_type: workflow })).json();
    form.dataset.session = made.session_id;
    history.replaceState(null, "", `?session=${encodeURIComponent(made.session_id)}`);
  }
  return `${api.replace(/\/$/, "")}/${form.dataset.session}/reply`;
}

class Refused extends Error {}

/** POST JSON; raises Refused with the server's own words. */
async function post(url, body, signal) {
  const response = await fetch(url, {
    method: "POST",
    signal,
    headers: {
      "Content-Type": "application/json",
      "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
    },
    body: JSON.stringify(body),
  });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  const signedOut = response.status === 401 || problem.code === "not_authenticated";
  throw new Refused(signedOut ? words.signedOut : problem.detail || words.unsent);
}

begin();
if (form) start();
