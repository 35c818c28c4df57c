// The Teach tab: a visitor draws boxes around things of a new class, and the detector learns it.

import "./album.js";
import "./photos.js";
import "./lesson.js";

import { props, watch } from "./page.js";
import { receive } from "./lesson.js";

watch("value", () => receive(props.value));
