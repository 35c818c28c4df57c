// The state that a view shows, and who listens to which part of it.

// on(["chosen", "bin"], f): f runs after any of these changed. change({bin}): the only way to set it.
export function createStore(state) {
  const listeners = [];

  function on(names, listener) {
    for (const name of names) if (!(name in state)) throw new Error(name);
    listeners.push({ names, listener });
  }

  function change(changes) {
    const changed = Object.keys(changes).filter((name) => state[name] !== changes[name]);
    if (!changed.length) return;
    Object.assign(state, changes);
    for (const { names, listener } of listeners) {
      if (names.some((name) => changed.includes(name))) listener(changed);
    }
  }

  return { on, change };
}
