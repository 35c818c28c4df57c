// Step 4: what fc6, fc7 and the two last layers say of the chosen box.

// The class whose deltas are shown: the one asked for, else the likeliest that is no background.
function shownLabel(box) {
  if (state.label !== null) return state.label;
  let best = 1;
  box.probabilities.forEach((p, label) => {
    if (label > 0 && p > box.probabilities[best]) best = label;
  });
  return best;
}

const centre = ([x1, y1, x2, y2]) => [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1];

function drawRegression(context, pen) {
  drawChosen(pen);
  if (!state.box) return;
  const label = shownLabel(state.box);
  const regressed = state.box.regressed[label];
  pen.outlined(regressed, SKY, 2.5);
  pen.arrow(centre(state.box.box), centre(regressed), VERMILION);
  pen.label(`${className(label)} ${percent(state.box.probabilities[label])}`, regressed[0], regressed[1], SKY);
}

on(["box", "label"], () => {
  const { box } = state;
  if (!box) {
    for (const place of [".bars", ".formula"]) $(place).replaceChildren();
    return;
  }
  const chosen = shownLabel(box);
  const order = box.probabilities.map((p, label) => [p, label]).filter(([, label]) => label > 0);
  order.sort((a, b) => b[0] - a[0]);
  const rows = [...order.slice(0, 5), [box.probabilities[0], 0]];
  if (!rows.some(([, label]) => label === chosen)) rows.splice(5, 0, [box.probabilities[chosen], chosen]);
  refill(
    $(".bars"),
    ...rows.map(([p, label]) =>
      make(
        "button",
        {
          class: "bar", "data-label": label, "data-key": label, "aria-pressed": String(label === chosen), disabled: label === 0,
          "aria-label": t("head.bar", { label: className(label), probability: percent(p) }),
          onclick: () => change({ label }),
        },
        make("span", {}, className(label)),
        make("span", { class: "bar-room" }, make("span", { class: `bar-fill${label === 0 ? " ground" : ""}`, style: `width:${100 * p}%` })),
        make("span", { class: "bar-value" }, percent(p)),
      ),
    ),
  );
  refill($(".formula"), ...formula(box, chosen));
});

function formula(box, label) {
  const [x, y, w, h] = centre(box.box);
  const [dx, dy, dw, dh] = box.deltas[label];
  const line = (name, rule, numbers, value) =>
    make(
      "tr", {}, make("th", { scope: "row" }, name), make("td", { class: "rule" }, rule),
      make("td", {}, numbers), make("td", { class: "value" }, fixed(value, 1)),
    );
  const f = (value, digits = 1) => fixed(value, digits);
  const sign = (value) => (value < 0 ? `\u2212 ${f(-value)}` : `+ ${f(value)}`);
  const [ex, ey] = [x + w * dx, y + h * dy];
  const [ew, eh] = [w * Math.exp(dw), h * Math.exp(dh)];
  const [left, top, right, bottom] = box.regressed[label].map((value) => f(value));
  return [
    make("p", {}, ...pieces("head.deltas", {
      label: className(label), deltas: make("b", { class: "deltas" }, [dx, dy, dw, dh].map((d) => f(d, 4)).join(", ")),
    })),
    box.form === model.pool ? null : make("p", { class: "other-form" }, t("head.other-form", { form: t(`form.${box.form}`), own: t(`form.${model.pool}`) })),
    make(
      "table", {},
      make("caption", {}, t("head.caption")),
      make(
        "tbody", {},
        line(t("head.centre-x"), "\u011cx = Pw dx + Px", `${f(w)} \u00b7 ${f(dx, 4)} ${sign(x)}`, ex),
        line(t("head.centre-y"), "\u011cy = Ph dy + Py", `${f(h)} \u00b7 ${f(dy, 4)} ${sign(y)}`, ey),
        line(t("head.width"), "\u011cw = Pw exp(dw)", `${f(w)} \u00b7 exp(${f(dw, 4)})`, ew),
        line(t("head.height"), "\u011ch = Ph exp(dh)", `${f(h)} \u00b7 exp(${f(dh, 4)})`, eh),
      ),
    ),
    make("p", {}, ...pieces("head.regressed", {
      corners: make("b", { class: "regressed" }, `${left}, ${top}, ${right}, ${bottom}`),
    })),
  ];
}
