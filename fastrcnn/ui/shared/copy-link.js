// Copies the address of a view, and puts it in the address bar. Returns what happened, as the key of a text.
export async function copyLink(address) {
  history.replaceState(null, "", address);
  try {
    await navigator.clipboard.writeText(address);
    return "link.copied";
  } catch {
    return "link.address-bar";
  }
}
