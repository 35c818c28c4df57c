// The Explore tab: every step of the detector on one photograph, linked to one chosen box.

import { text } from "../shared/texts.js";
import { props, showStatus, watch } from "./page.js";

// The stations, in the order of the way.
import "./grouping.js";
import "./proposals.js";
import "./pooling.js";
import "./head.js";
import "./result.js";

// The views beside them.
import "./rounding.js";
import "./gradient.js";
import "./rcnn.js";
import "./worth.js";
import "./ranks.js";

import { openExample, receive } from "./analysis.js";
import "./life.js";
import { showLesson } from "./lessons.js";
import { linkedExample } from "./link.js";
import { showLegend } from "./photo.js";
import { showSideViews } from "./side-views.js";
import { showStrip } from "./stations.js";

showSideViews();
showStrip();
showLegend();
showLesson();
watch("value", () => receive(props.value));
const first = linkedExample() ?? props.first;
if (first) openExample(first);
else showStatus(text("explore.choose-first"));
