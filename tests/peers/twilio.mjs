// Twilio's SDK signs requests, validates signatures of ours, writes TwiML, and makes the forms we also build.
import twilio from "twilio";
import webhooks from "twilio/lib/webhooks/webhooks.js";
import { answer, task } from "./task.mjs";

const { token, requests, signatures } = await task();
const signed = requests.map(({ url, params }) => webhooks.getExpectedTwilioSignature(token, url, params));
const verified = signatures.map(({ url, params, body, header }) =>
  body === undefined
    ? webhooks.validateRequest(token, header, url, params)
    : webhooks.validateRequestWithBody(token, header, url, body),
);

const voice = new twilio.twiml.VoiceResponse();
voice.say({ voice: "Polly.Joanna" }, `Tom & "Jerry's" <shop>`);
const gather = voice.gather({ input: "dtmf speech", action: "/x?a=1&b=2", method: "POST", numDigits: 1 });
gather.say({ language: "en-US" }, "Press 1");
const connect = voice.connect({ action: "/done" });
const stream = connect.stream({ url: "wss://h/stream" });
stream.parameter({ name: "ticket", value: `a"b` });
const relayed = voice.connect({});
relayed.conversationRelay({ url: "wss://h/relay", welcomeGreeting: "Hi", ignoreBackchannel: true });
const dial = voice.dial({ action: "/after", callerId: "+14155550100", timeout: 20 });
dial.number("+14155550111");
voice.pause({ length: 2 });
voice.reject({ reason: "busy" });
voice.hangup();
const messaging = new twilio.twiml.MessagingResponse();
messaging.message("Yes & no");

const forms = [];
const httpClient = {
  request: async ({ method, uri, username, password, params, data }) => {
    forms.push({ method, uri, username, password, params: params ?? null, data: data ?? null });
    return { statusCode: method === "delete" ? 204 : 200, body: { sid: "CA1", status: "queued" } };
  },
};
const client = twilio("AC00000000000000000000000000000000", token, { httpClient });
await client.calls.create({
  to: "+14155550111",
  from: "+14155550100",
  url: "https://h/voice?attempt=a1",
  statusCallback: "https://h/status?attempt=a1",
  statusCallbackEvent: ["initiated", "answered", "completed"],
  timeout: 25,
  machineDetection: "DetectMessageEnd",
  machineDetectionTimeout: 20,
  asyncAmd: "true",
  asyncAmdStatusCallback: "https://h/amd",
  record: true,
  recordingChannels: "dual",
});
await client.calls("CA1").update({ status: "completed" });
await client.calls("CA1").update({ url: "https://h/next" });
await client.messages.create({
  to: "whatsapp:+14155550111",
  from: "whatsapp:+14155550100",
  body: "Hi",
  mediaUrl: ["https://h/a", "https://h/b"],
  statusCallback: "https://h/receipt",
});
await client.messages.create({
  to: "+14155550111",
  messagingServiceSid: "MG1",
  contentSid: "HX1",
  contentVariables: JSON.stringify({ 1: "Jo" }),
  validityPeriod: 600,
});
answer({ signed, verified, voice: voice.toString(), messaging: messaging.toString(), forms });
