// What programs written for Twilio do, with no word of Offhook. Prints what it saw as JSON.
const https = require("https");

const { TWILIO_ACCOUNT_SID: sid, TWILIO_AUTH_TOKEN: token } = process.env;
const path = `/2010-04-01/Accounts/${sid}/Calls.json?PageSize=1`;
const url = `https://api.twilio.com${path}`;
const headers = { Authorization: "Basic " + Buffer.from(`${sid}:${token}`).toString("base64") };

const status = (start) =>
  new Promise((resolve, reject) => start((response) => resolve(response.resume().statusCode)).on("error", reject));

async function main() {
  const agent = new https.Agent({ keepAlive: true });
  const seen = {
    fetch: (await fetch(url, { headers })).status,
    request: (await fetch(new Request(url, { headers }))).status,
    get: await status((done) => https.get(url, { headers, agent }, done)),
    url: await status((done) => https.request(new URL(url), { headers }, done).end()),
    options: await status((done) => https.get({ host: "api.dublin.ie1.twilio.com", path, headers, agent }, done)),
  };
  const { get } = await import("node:https");
  seen.module = await status((done) => get(url, { headers }, done));
  for (const other of ["https://127.0.0.1:9/", "https://127.0.0.1:9/api.twilio.com"])
    seen[other] = await status((done) => https.get(other, done)).catch((error) => error.code);
  if (process.argv[2] === "with-twilio")
    seen.twilio = (await require("twilio")(null, null, { region: "ie1" }).incomingPhoneNumbers.list()).length;
  console.log(JSON.stringify(seen));
}

main().then(() => (process.exitCode = 7));
