// Which key was pressed, whatever the layout and Caps Lock.

/**
 * The key in lower case: Caps Lock changes nothing. On a layout without Latin letters, the letter of the place.
 *
 * @param {KeyboardEvent} event
 * @returns {string}
 */
export function keyOf({ key = "", code = "" }) {
  const isLatin = /^[\x20-\x7e]/.test(key);
  return key.length > 1 ? key : (isLatin ? key : code.replace("Key", "")).toLowerCase();
}
