// Who sits here: a name that is asked once and kept by the browser, where it keeps anything.

const kept = new Map();

export function recall(what) {
  try {
    return localStorage.getItem(`relsim.${what}`) || kept.get(what) || "";
  } catch {
    return kept.get(what) || "";
  }
}

export function remember(what, value) {
  kept.set(what, value);
  try {
    localStorage.setItem(`relsim.${what}`, value);
  } catch {
    // It is kept as long as the page is open.
  }
}
