// Sign-in view. There is no user name: the token is enough.

import { useSignal } from "@preact/signals";
import { html } from "htm/preact";

import { RefusedError, refused, signIn } from "../actions.js";
import { signedIn } from "../socket.js";
import { Text } from "../shared/text.js";

/** The view. */
export function SignIn() {
  const token = useSignal("");
  const failure = useSignal("");
  const isBusy = useSignal(false);
  const submit = async (event) => {
    event.preventDefault();
    if (isBusy.value) {
      return;
    }
    isBusy.value = true;
    failure.value = refused.value = "";
    try {
      await signIn(token.value.trim());
      signedIn();
    } catch (error) {
      if (!(error instanceof RefusedError)) {
        throw error;
      }
      failure.value = error.status === 401 ? "Wrong token." : error.message;
    } finally {
      isBusy.value = false;
    }
  };
  // Otherwise, why the URL's token was rejected, or why signing out failed.
  const wrong = failure.value || refused.value;
  return html`<main class="signin panel" id="main">
    <h1>Conferral</h1>
    <p>
      Enter an API token (<code>CONFERRAL_API_TOKEN</code> or one of <code>CONFERRAL_TOKENS</code>), or open the sign-in link
      printed by <code>conferral console</code>.
    </p>
    <form class="form" onSubmit=${submit}>
      <label class="field">
        <span>Token</span>
        <input
          type="password"
          name="token"
          value=${token.value}
          required
          autocomplete="current-password"
          onInput=${(event) => (token.value = event.target.value)}
        />
      </label>
      <div role="alert">${wrong ? html`<p class="error"><${Text} value=${wrong} /></p>` : null}</div>
      <button type="submit" class="main" aria-disabled=${isBusy.value}>Sign in</button>
    </form>
  </main>`;
}
