// A view's place on the page, and what Gradio gives to its script.

const given = {}; // {element, trigger, props, server, watch, upload} by the view's name

// Called once for each view, by the script in view.py. The view has no words before its modules
// have run, so it is hidden until then.
export async function connect(name, values) {
  given[name] = values;
  await import(`../${name}/main.js`);
  values.element.querySelector(".view").dataset.ready = "";
  openLinkedTab();
}

let opened = null; // the address whose tab was opened

// Opens the tab that a link names. Gradio builds a tab's view when the tab is first opened.
function openLinkedTab() {
  const name = new URLSearchParams(location.hash.slice(1)).get("tab");
  if (!name || opened === location.hash) return;
  const tab = document.querySelector(`#tabs [role=tab][data-tab-id="${CSS.escape(name)}"]`);
  if (!tab) return; // there is none of that name, or it comes with a later view
  opened = location.hash;
  tab.click();
}
window.addEventListener("hashchange", openLinkedTab);

// root: the view's own element. $ and $$ find elements in it.
export function openView(name) {
  const { element, trigger, props, server, watch, upload } = given[name];
  const root = element.querySelector(`.${name}`);
  const $ = (selector) => root.querySelector(selector);
  const $$ = (selector) => [...root.querySelectorAll(selector)];
  const showStatus = (sentence) => ($(".status").textContent = sentence);
  return { root, $, $$, trigger, props, server, watch, upload, showStatus };
}
