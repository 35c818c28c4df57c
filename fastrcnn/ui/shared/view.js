// A view's place on the page, and what Gradio gives to its script.

const given = {}; // {element, trigger, props, server, watch, upload} by the view's name

// Called once for each view, by the script in view.py. The view has no words before its modules
// have run, so it is hidden until then.
export async function connect(name, values) {
  given[name] = values;
  await import(`../${name}/main.js`);
  values.element.querySelector(".view").dataset.ready = "";
}

// root: the view's own element. $ and $$ find elements in it.
export function openView(name) {
  const { element, trigger, props, server, watch, upload } = given[name];
  const root = element.querySelector(`.${name}`);
  const $ = (selector) => root.querySelector(selector);
  const $$ = (selector) => [...root.querySelectorAll(selector)];
  const showStatus = (sentence) => ($(".status").textContent = sentence);
  return { root, $, $$, trigger, props, server, watch, upload, showStatus };
}
