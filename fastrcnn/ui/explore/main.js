// The Explore tab: every step of the detector on one photograph, linked to one chosen box.

import { text } from "../shared/texts.js";
import { props, showStatus, watch } from "./page.js";

// The stations, in the order of the way.
import "./photo-station.js";
import "./grouping.js";
import "./proposals.js";
import "./features.js";
import "./pooling.js";
import "./fc.js";
import "./head.js";
import "./nms.js";
import "./result.js";

// The views beside what the stations show first.
import "./rounding.js";
import "./gradient.js";
import "./rcnn.js";
import "./worth.js";
import "./ranks.js";

import { openExample, receive } from "./analysis.js";
import "./life.js";
import "./upload.js";
import { showLesson } from "./lessons.js";
import { linkedExample } from "./link.js";
import { showLegend } from "./photo.js";
import { addViewButtons, showStrip } from "./stations.js";
import "./strip.js";

addViewButtons();
showStrip();
showLegend();
showLesson();
watch("value", () => receive(props.value));
const first = linkedExample() ?? props.first;
if (first) openExample(first);
else showStatus(text("explore.choose-first"));
