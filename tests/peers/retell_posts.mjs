// Retell's SDK signs what it would post to us and posts it; says what was answered. `age_ms` is how long ago it was signed.
import Retell from "retell-sdk";
import { answer, task } from "./task.mjs";

const { posts, replies } = await task();
const clock = Date.now;
const statuses = [];
for (const { url, body, key, age_ms: age = 0, altered } of posts) {
  Date.now = () => clock() - age;
  const signature = await Retell.sign(body, key);
  Date.now = clock;
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-retell-signature": signature },
    body: altered ?? body,
  });
  statuses.push({ status: response.status, body: await response.text() });
}
const verified = [];
for (const { body, header, key } of replies ?? []) verified.push(await Retell.verify(body, key, header));
answer({ statuses, verified });
