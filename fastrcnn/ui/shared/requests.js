// Requests to the server's functions about the picture or the run that `state.token` names.

import { sentence, text } from "./texts.js";

// Whether two values that could be sent are equal.
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// requester(name, onReply, onFailure) makes a function that sends its inputs to the server function
// `name`. It sends one request at a time; of those that come meanwhile only the last is sent. A reply
// is dropped when the token has changed since.
export function createRequester({ server, state, showStatus }) {
  return function requester(name, onReply, onFailure = () => {}) {
    let busy = false;
    let next = null;
    return async function request(inputs) {
      const { token } = state;
      if (busy) {
        next = { token, inputs };
        return;
      }
      busy = true;
      try {
        const reply = await server[name]({ token, ...inputs });
        if (token !== state.token) return;
        if (reply && !reply.error) return await onReply(reply, inputs);
        showStatus(reply ? sentence(reply) : text("no-reply"));
        onFailure(inputs);
      } finally {
        busy = false;
        const waiting = next;
        next = null;
        if (waiting?.token === state.token) request(waiting.inputs);
      }
    };
  };
}

// Numbers that the server sends deflated, as text.
export async function inflate(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
