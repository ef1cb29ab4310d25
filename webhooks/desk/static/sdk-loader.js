// Loads Twilio's Voice SDK, which is a script that sets `window.Twilio`.

import { PhoneError } from "./phone-errors.js";

let loading = null;
let policy = null;

export function loadSdk(url) {
  if (globalThis.Twilio?.Device) {
    return Promise.resolve(globalThis.Twilio);
  }
  loading ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = trusted(url);
    script.onload = () => (globalThis.Twilio?.Device ? done(globalThis.Twilio) : script.onerror());
    script.onerror = () => {
      loading = null;
      failed(new PhoneError("The phone's software could not be loaded. Try again."));
    };
    document.head.append(script);
  });
  return loading;
}

/** The URL for pages that demand `require-trusted-types-for 'script'`. */
function trusted(url) {
  policy ??= globalThis.trustedTypes?.createPolicy("conferral-desk", { createScriptURL: (one) => one });
  return policy?.createScriptURL(url) ?? url;
}
