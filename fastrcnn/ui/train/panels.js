// The panels below the curves: one box, the box loss, precision and recall.

import { $, $$, change, on, state } from "./page.js";

const tabs = $$(".strip [role=tab]");

on(["panel"], show);

function show() {
  for (const tab of tabs) {
    const open = tab.dataset.panel === state.panel;
    tab.setAttribute("aria-selected", String(open));
    tab.tabIndex = open ? 0 : -1;
    $(`#${tab.getAttribute("aria-controls")}`).hidden = !open;
  }
}

for (const [i, tab] of tabs.entries()) {
  tab.addEventListener("click", () => change({ panel: tab.dataset.panel }));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(i + step + tabs.length) % tabs.length];
    next.focus();
    change({ panel: next.dataset.panel });
  });
}

show();
