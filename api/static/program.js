// The draft's pages while somebody types: what is typed is saved and checked, and what is wrong is told beside its field.
// Without this script the buttons do the same.
"use strict";

const form = document.getElementById("draft-form");
const bar = form && form.querySelector("[data-check]");
const statusLine = bar && bar.querySelector(".status");

// On a wide screen the list of pages is always open.
const pages = document.querySelector(".parts details");
if (pages) {
  const wide = window.matchMedia("(min-width: 75rem)");
  const fit = () => {
    pages.open = wide.matches;
  };
  wide.addEventListener("change", fit);
  fit();
}

const element = (name, className, ...children) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
};

// `code` in a message is code.
const prose = (text) =>
  text.split("`").map((part, index) => (index % 2 ? element("code", "", part) : part));

const showRemarks = (remarks) => {
  const lists = new Map([...form.querySelectorAll(".remarks[data-at]")].map((list) => [list.dataset.at, list]));
  for (const list of lists.values()) list.replaceChildren();
  for (const remark of remarks) {
    let at = remark.at;
    while (!lists.has(at) && at.includes(".")) at = at.slice(0, at.lastIndexOf("."));
    const list = lists.get(at) || lists.values().next().value;
    if (list) list.append(element("li", remark.kind, ...prose(remark.message)));
  }
  for (const [at, list] of lists) {
    list.hidden = !list.childElementCount;
    const isWrong = Boolean(list.querySelector(".error"));
    const held = list.closest(".entry, .group, .item, .root");
    if (held) held.classList.toggle("wrong", isWrong);
    const field = document.getElementById(at) || document.getElementById(`${at}.type`);
    if (field && "form" in field && field.tagName !== "FIELDSET") {
      if (isWrong) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }
  }
};

const showLines = (remarks) => {
  const list = document.getElementById("lines");
  list.replaceChildren(
    ...remarks.map((each) => {
      const item = element("li", each.kind);
      if (each.line) {
        const link = element("a", "", `Line ${each.line}`);
        link.href = "#text";
        link.dataset.line = each.line;
        item.append(link, ": ");
      }
      if (each.path) item.append(element("code", "", each.path), " ");
      item.append(each.message);
      if (each.text) item.append(" ", element("code", "source", each.text));
      return item;
    }),
  );
  list.hidden = !remarks.length;
  document.getElementById("fine").hidden = Boolean(remarks.length);
};

// A line of the text, gone to from what is said of it.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-line]");
  const area = document.getElementById("text");
  if (!link || !area) return;
  event.preventDefault();
  const lines = area.value.split("\n");
  const before = lines.slice(0, link.dataset.line - 1).reduce((sum, line) => sum + line.length + 1, 0);
  area.focus();
  area.setSelectionRange(before, before + (lines[link.dataset.line - 1] || "").length);
  area.scrollTop = (link.dataset.line - 4) * parseFloat(getComputedStyle(area).lineHeight);
});

let isTyped = false; // something is typed that the server does not have
let isLeaving = false;
let timer = 0;
let asked = 0;
let isSaving = false;
let isSignedOut = false;

const say = (text, kind = "") => {
  if (statusLine.textContent === text) return;
  statusLine.textContent = text;
  statusLine.className = `status ${kind}`;
};

const signedOut = () => {
  isSignedOut = true;
  const link = element("a", "", "Sign in in another tab");
  link.href = bar.dataset.signIn;
  link.target = "_blank";
  link.rel = "noopener";
  statusLine.className = "status bad";
  statusLine.replaceChildren("You are signed out. What you typed is still here. ", link, ", then go on typing.");
};

// After signing in again the session has another token, which every page of ours carries.
const renewToken = async () => {
  const answer = await fetch(window.location.href, { headers: { "X-Requested-With": "fetch" } });
  if (!answer.ok) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = page.querySelector("#draft-form input[name=csrf]");
  if (!fresh || fresh.value === form.elements.csrf.value) return false;
  for (const field of document.querySelectorAll("input[name=csrf]")) field.value = fresh.value;
  return true;
};

const send = () =>
  fetch(bar.dataset.check, {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
    headers: { "X-Requested-With": "fetch" },
  });

// One save at a time, and the last thing typed is what is saved last.
let saving = Promise.resolve();
const save = () => {
  clearTimeout(timer);
  const turn = ++asked;
  saving = saving.then(() => (turn === asked ? saveNow() : undefined));
  return saving;
};

const saveNow = async () => {
  const turn = asked;
  say("Saving…");
  isSaving = true;
  isSignedOut = false;
  try {
    let answer = await send();
    if (answer.status === 403 && (await renewToken())) answer = await send();
    if (answer.status === 401) return signedOut();
    if (answer.status === 409) {
      const told = (await answer.json()).conflict;
      if (told) return say(`${told} What you type is not saved. Press the button to see both.`, "bad");
    }
    if (!answer.ok) return say("It could not be saved. What you typed is still here.", "bad");
    const found = await answer.json();
    form.elements._was.value = found.was;
    if (turn === asked) isTyped = found.kept === false;
    if (found.lines) showLines(found.lines);
    else showRemarks(found.remarks);
    const remarks = found.lines || found.remarks;
    const errors = remarks.filter((each) => each.kind === "error").length;
    const here = errors ? `${errors} to mend here` : "nothing to mend here";
    const elsewhere = found.elsewhere ? `, ${found.elsewhere} elsewhere` : "";
    const how = found.kept === false ? "Checked, but not saved by itself" : found.saved ? "Saved in the draft" : "As published";
    say(`${how}; ${here}${elsewhere}.`, errors ? "warn" : "good");
    return true;
  } catch {
    say("The server cannot be reached. What you typed is still here, and is saved once it can.", "bad");
    timer = setTimeout(save, 5000);
  } finally {
    isSaving = false;
  }
};

// Another kind has other fields: they are fetched, and put where the old ones stood.
const chooseKind = async (select) => {
  if (!(await save())) return;
  const answer = await fetch(window.location.href, { headers: { "X-Requested-With": "fetch" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const old = document.getElementById(select.dataset.chooses);
  const fresh = page.getElementById(select.dataset.chooses);
  if (!old || !fresh) return;
  const hadFocus = document.activeElement === select;
  old.replaceWith(fresh);
  if (hadFocus) document.getElementById(select.id)?.focus();
};

if (bar) {
  form.addEventListener("input", () => {
    isTyped = true;
    say("Not saved yet");
    clearTimeout(timer);
    timer = setTimeout(save, 700);
  });
  form.addEventListener("change", (event) => {
    if (event.target.dataset.chooses) chooseKind(event.target);
  });
  form.addEventListener("submit", async (event) => {
    clearTimeout(timer);
    if (isSaving) {
      // What is being saved comes first, or the server would take it for somebody else's.
      event.preventDefault();
      await saving;
      form.requestSubmit(event.submitter);
      return;
    }
    isLeaving = true;
  });
  // Back from signing in in another tab.
  window.addEventListener("focus", () => {
    if (isSignedOut) save();
  });
  window.addEventListener("pageshow", () => {
    isLeaving = false;
  });
  window.addEventListener("beforeunload", (event) => {
    if (isTyped && !isLeaving) event.preventDefault();
  });
}

// What was just added has the focus: its first field, or itself.
const fragment = window.location.hash && document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
if (fragment && form && form.contains(fragment)) {
  const first = fragment.matches("input, select, textarea")
    ? fragment
    : fragment.querySelector("input:not([type=hidden]), select, textarea");
  (first || fragment).focus();
}
