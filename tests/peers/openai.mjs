// OpenAI's client asks our Vapi endpoint as Vapi does, and says what it understood.
import OpenAI from "openai";
import { answer, task } from "./task.mjs";

const { base_url, key, ask: own = {}, refuse = { model: "refuse" } } = await task();
const client = new OpenAI({ apiKey: key, baseURL: base_url, maxRetries: 0 });
const ask = {
  model: "our-model",
  messages: [
    { role: "system", content: "You are Ace" },
    { role: "user", content: "I need a plumber" },
  ],
  temperature: 0.5,
  max_tokens: 250,
  tools: [{ type: "function", function: { name: "book", parameters: { type: "object" } } }],
  call: { id: "call_1" },
  metadata: { tenant: "t1" },
  ...own,
};
const heard = { text: "", tools: [], finish: null, usage: null, chunks: 0 };
const stream = await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  heard.chunks += 1;
  heard.usage = chunk.usage ?? heard.usage;
  const choice = chunk.choices[0];
  if (!choice) continue;
  heard.text += choice.delta.content ?? "";
  for (const call of choice.delta.tool_calls ?? []) heard.tools.push([call.index, call.id, call.function.name, call.function.arguments]);
  heard.finish = choice.finish_reason ?? heard.finish;
}
const whole = await client.chat.completions.create({ ...ask, stream: false });
let refused;
try {
  await client.chat.completions.create({ ...ask, ...refuse, stream: true });
} catch (error) {
  refused = { status: error.status, code: error.code, message: error.message };
}
answer({ heard, whole: whole.choices[0].message.content, refused });
