// What the SDK's errors mean for the agent. Source: Twilio docs, Voice SDK error codes.

const SENTENCES = {
  20104: "The access token for Twilio has expired.",
  31009: "Twilio can't be reached. Check the network.",
  31401: "The browser refuses the microphone.",
  31402: "The browser can't use the microphone.",
};
/** About the access token. */
const REFUSALS = new Set([20101, 20104, 20151, 31202, 31203, 31207]);
/** About the connection, one for each attempt: the device's state says what they mean. */
const CONNECTION_ERRORS = new Set([31000, 31005, 31009, 53000, 53001]);

export class PhoneError extends Error {
  /** @param {boolean} [isPassing] Whether it is over once the phone is registered. */
  constructor(message, code = 0, isPassing = false) {
    super(message);
    this.code = code;
    this.isPassing = isPassing;
  }
}

export const isAboutToken = ({ code }) => REFUSALS.has(code);
export const isAboutConnection = ({ code }) => CONNECTION_ERRORS.has(code);

export function phoneError(error) {
  const code = Number(error?.code ?? 0);
  const known = SENTENCES[code] ?? (REFUSALS.has(code) ? "Twilio does not accept the access token." : null);
  return new PhoneError(known ?? `The phone reports an error: ${error?.message ?? "unknown"}`, code);
}
