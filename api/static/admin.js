// What the admin pages do beyond what a browser does by itself. They work without it.
"use strict";

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  window.addEventListener("pageshow", () => delete form.dataset.sent, { once: true });
});

// On a wide screen the menu is always open; on a phone it closes when one looks elsewhere.
const menu = document.getElementById("menu");
if (menu) {
  const wide = window.matchMedia("(min-width: 62rem)");
  const fit = () => {
    menu.open = wide.matches;
  };
  wide.addEventListener("change", fit);
  fit();
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !wide.matches) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
}

// A part of a page that says how far some work is: <div data-poll="1000"> is fetched anew until it says no more.
const poll = (part) => {
  setTimeout(async () => {
    try {
      const answer = await fetch(part.dataset.from || window.location.href, { headers: { "X-Requested-With": "fetch" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById(part.id);
      if (!fresh) return;
      part.replaceWith(fresh);
      if (fresh.dataset.poll) poll(fresh);
    } catch {
      poll(part);
    }
  }, Number(part.dataset.poll));
};
for (const part of document.querySelectorAll("[data-poll][id]")) poll(part);

// What went wrong is where the reader is.
const problems = document.querySelector(".problems");
if (problems) problems.focus();
