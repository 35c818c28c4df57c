// A new picture, and each stage of its analysis as the server tells of it.

const WORKING = ["read", "segments", "proposals", "features"]; // the last stage that is done

const askPicture = asker("picture", (answer) => {
  const image = new Image();
  const token = state.token;
  image.onload = () => {
    if (token !== state.token) return;
    change({
      picture: { width: answer.width, height: answer.height, image },
      truth: answer.objects,
    });
  };
  image.src = answer.src;
});

const askProposals = asker("proposals", (answer) => {
  change({ proposals: answer, shown: Math.min(state.shown, answer.boxes.length) });
});

const askActivity = asker("activity", (answer) => change({ activity: answer }));

// The network that made what follows; the page may go over to one that the visitor trained.
function lookWith(next) {
  const same = JSON.stringify(next) === JSON.stringify(model);
  model = next;
  $(".pooled-size").textContent = `7 x 7 x ${model.channels}`;
  const whose = $(".whose");
  whose.hidden = model.ships;
  if (same) return;
  change({ form: model.pool });
  for (const radio of $$('input[name="explore-form"]')) radio.checked = radio.value === model.pool;
  showLesson();
  if (model.ships) return;
  refill(
    whose,
    ...pieces("explore.whose", {
      iterations: String(model.trained), classes: model.classes.join(", "),
      back: make("button", { class: "link", "data-key": "untrain", onclick: () => { wait(); trigger("untrain", {}); } }, t("explore.go-back")),
    }),
  );
}

function receive(note) {
  if (!note) return;
  if (note.error) {
    // The picture before it, if any, is still there.
    $(".bench").setAttribute("aria-busy", "false");
    return say(sentence(note));
  }
  if (note.token !== state.token) {
    lookWith(note.model);
    // Nothing of the picture before may stay behind.
    change({
      token: note.token, name: note.name, example: note.example, stage: "read",
      picture: null, grouping: null, merge: 0, run: 0, proposals: null, hovered: null,
      chosen: null, box: null, bin: null, channel: null, label: null, truth: [], covered: [],
      decisions: null, activity: null, shown: 100, source: "all",
    });
  }
  change({ stage: note.stage });
}

on(["stage", "token"], () => {
  const { stage } = state;
  root.dataset.stage = stage;
  $(".bench").setAttribute("aria-busy", String(stage !== "detections"));
  if (WORKING.includes(stage)) say(t(`working.${stage}`, { name: state.name }));
  if (stage !== "read" && state.picture === null) askPicture({});
  if (["proposals", "features", "detections"].includes(stage) && state.proposals === null) askProposals({});
  if (stage === "features") askActivity({});
  for (const button of $$(".examples button")) {
    button.setAttribute("aria-pressed", String(button.dataset.name === state.example));
  }
});

for (const example of props.examples) {
  const label = example.name.replaceAll("-", " ");
  $(".examples").append(
    make(
      "button",
      {
        "data-name": example.name, title: label, "aria-pressed": "false",
        onclick: () => openExample(example.name),
      },
      make("img", { src: example.src, alt: t("explore.example", { name: label }) }),
    ),
  );
}

function wait() {
  $(".bench").setAttribute("aria-busy", "true");
  say(counted("explore.waiting", props.at_once));
}

// explore.py tells of an upload that has begun.
window.addEventListener("explore-upload", wait);

function openExample(name) {
  wait();
  trigger("example", { name });
}
