// What a browser keeps for a page. It may refuse to: then it lasts as long as the page.

/** @returns {string | null} What is kept under a name; of `sessionStorage`, for this tab alone. */
export function kept(name, storage = "localStorage") {
  try {
    return globalThis[storage].getItem(name);
  } catch {
    return null;
  }
}

/** Keep a text under a name. */
export function keep(name, value, storage = "localStorage") {
  try {
    globalThis[storage].setItem(name, value);
  } catch {
    // The page goes on with what it knows.
  }
}
