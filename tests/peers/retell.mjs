// Retell's SDK signs bodies, verifies headers of ours, and sends the calls we also build, so that both can be compared.
import Retell from "retell-sdk";
import { answer, recorder, task } from "./task.mjs";

const { key, bodies, headers } = await task();
const signed = [];
for (const body of bodies) signed.push(await Retell.sign(body, key));
const verified = [];
for (const { body, header, key: other } of headers) verified.push(await Retell.verify(body, other ?? key, header));

const server = await recorder(() => ({ call_id: "c1", agent_id: "a1", items: [], has_more: false }));
const client = new Retell({ apiKey: key, baseURL: server.url, maxRetries: 0 });
const agent = {
  response_engine: { type: "custom-llm", llm_websocket_url: "wss://h/llm" },
  voice_id: "11labs-Adrian",
  agent_name: "Ace",
  responsiveness: 0.5,
  webhook_url: "https://h/hook",
};
const numbers = { from_number: "+14155550100", to_number: "+14155550111" };
await client.agent.create(agent);
await client.agent.retrieve("a/1");
await client.agent.update("a1", { agent_name: "Bee" });
await client.agent.delete("a1");
await client.phoneNumber.create({ area_code: 415, inbound_agents: [{ agent_id: "a1", weight: 1 }] });
await client.phoneNumber.retrieve("+14155550100");
await client.phoneNumber.delete("+14155550100");
await client.call.createPhoneCall({ ...numbers, metadata: { attempt: "t1" }, retell_llm_dynamic_variables: { name: "Jo" } });
await client.call.createWebCall({ agent_id: "a1", metadata: { tenant: "t1" } });
await client.call.registerPhoneCall({ agent_id: "a1", direction: "inbound", ...numbers });
await client.call.retrieve("c1");
await client.call.list({
  filter_criteria: { metadata: [{ key: "attempt", type: "string", op: "eq", value: "t1" }] },
  limit: 50,
  sort_order: "descending",
});
await client.call.stop("c1");
await client.call.updateLive("c1", { call_control: { additional_context: "x", trigger_response: true } });
await client.call.delete("c1");
await client.batchCall.createBatchCall({
  from_number: numbers.from_number,
  tasks: [{ to_number: numbers.to_number }],
  call_time_window: { windows: [{ start: 540, end: 1020 }], timezone: "Europe/Berlin" },
});
await client.concurrency.retrieve();
server.close();
answer({ signed, verified, requests: server.requests });
