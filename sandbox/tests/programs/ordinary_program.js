// What programs written for Twilio do with its library for Node.js. Prints what it saw as JSON.
const twilio = require("twilio");

const [url, accountSid, authToken, from, to] = process.argv.slice(2);
const client = twilio(accountSid, authToken);
client.api.baseUrl = url;

async function main() {
  const twiml = "<Response><Pause length='600'/></Response>";
  const call = await client.calls.create({ to, from, twiml });
  while ((await client.calls(call.sid).fetch()).status !== "in-progress");
  const recording = await client.calls(call.sid).recordings.create();
  await client.calls(call.sid).update({ twiml: "<Response><Dial><Conference>room</Conference></Dial></Response>" });
  const agent = await client.conferences("room").participants.create({ to: "client:alice", from, label: "agent" });
  const conference = client.conferences(agent.conferenceSid);
  while ((await conference.fetch()).status !== "in-progress");
  const held = await conference.participants("agent").update({ hold: true });
  await conference.participants("agent").remove();
  await client.calls(call.sid).recordings(recording.sid).update({ status: "stopped" });
  const media = await fetch(`${(await client.recordings(recording.sid).fetch()).mediaUrl}.wav`);
  const ended = await client.calls(call.sid).update({ status: "completed" });
  const startTimeAfter = new Date(Date.now() - 3_600_000);
  const listed = await client.calls.list({ startTimeAfter, limit: 5, pageSize: 1 });
  const application = await client.applications.create({ friendlyName: "Menu", voiceUrl: `${url}/menu` });
  const [number] = await client.incomingPhoneNumbers.list({ phoneNumber: from });
  const changed = await number.update({ voiceApplicationSid: application.sid });
  const deleted = await client.calls(call.sid).remove();
  const unknown = await client.calls(call.sid).fetch().catch((error) => error);
  return {
    held: held.hold,
    media: [media.status, media.headers.get("content-type"), (await media.arrayBuffer()).byteLength >= 44],
    ended: ended.status,
    listed: listed.length,
    started: listed.every((it) => it.startTime instanceof Date),
    application: changed.voiceApplicationSid === application.sid,
    deleted,
    unknown: [unknown.status, unknown.code],
  };
}

main().then(
  (seen) => console.log(JSON.stringify(seen)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
