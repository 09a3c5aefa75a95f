/* Tells each <time> in the reader's own zone and language. */

const words = document.getElementById("time-words").dataset;
const language = document.documentElement.lang || undefined;
const clock = new Intl.DateTimeFormat(language, { timeStyle: "short" });
const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });
const date = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const whole = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });

const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate());

function told(moment) {
  const now = new Date();
  const days = Math.round((midnight(now) - midnight(moment)) / 86_400_000);
  const near = { 0: words.today, 1: words.yesterday }[days];
  if (near) return `${near}, ${clock.format(moment)}`;
  const sameYear = moment.getFullYear() === now.getFullYear();
  return `${(sameYear ? day : date).format(moment)}, ${clock.format(moment)}`;
}

/** Rewrite the times within `root`. */
export function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.valueOf())) continue;
    time.textContent = told(moment);
    time.title = whole.format(moment);
  }
}
