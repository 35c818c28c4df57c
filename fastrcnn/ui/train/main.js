// The Train tab: a detector learns while one watches.

import "./form.js";
import "./plots.js";
import "./curves.js";
import "./compared.js";
import "./batch.js";
import "./scenes.js";
import "./panels.js";
import "./follow.js";
import "./box-loss.js";
import "./precision.js";
import "./questions.js";
import "./link.js";

import { props, watch } from "./page.js";
import { receive } from "./run.js";

watch("value", () => receive(props.value));
