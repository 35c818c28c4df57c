// Elements, and drawing when the page is laid out.

// An element from plain values: make("button", {class: "x", onclick}, "words", child).
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

// New children for an element; the button that had the focus keeps it, by its data-key.
export function refill(parent, ...children) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  parent.replaceChildren(...children.filter((child) => child != null));
  if (!focused || focused === parent) return;
  const same = parent.querySelector(`[data-key="${focused.dataset.key}"]:not(:disabled)`);
  // Not a term: its explanation would open over what was just filled in.
  (same ?? parent.querySelector("button:not(:disabled, .term)"))?.focus({ preventScroll: true });
}

// Calls `draw` once before the next frame, however often it is asked for.
export function soon(draw) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      draw();
    });
  };
}

// Saves a file that the server made: {name, src}, or {name, text} for text of this type.
export function saveFile({ name, src, text }, type) {
  const href = src ?? URL.createObjectURL(new Blob([text], { type }));
  make("a", { href, download: name }).click();
  if (!src) URL.revokeObjectURL(href);
}
