// Takes docs/images/widget.png: a real server learns a small site on loopback and answers on its sample page.
import { createApi } from './lib/api.mjs';
import { launch, until } from './lib/browser.mjs';
import { createColloquy, createSite } from './lib/server.mjs';
import { answers, open, say } from './lib/widget.mjs';

const OUT = new URL('../../docs/images/widget.png', import.meta.url).pathname;
const page = (title, ...paragraphs) =>
  `<!doctype html><html lang="en"><head><title>${title}</title></head><body><nav><a href="/">Home</a> <a href="/hours">Hours</a> <a href="/prices">Prices</a> <a href="/area">Service area</a></nav><main><h1>${title}</h1>${paragraphs.map((text) => `<p>${text}</p>`).join('')}</main></body></html>`;
const SITE = {
  '/': page('Brightwell Plumbing', 'Brightwell Plumbing has looked after the pipes of Millbrook since 1994: leaks, drains, water heaters and bathrooms, by six licensed plumbers.'),
  '/hours': page('Opening hours', 'Our office is open Monday to Friday from 7:00 to 18:00 and on Saturday from 8:00 to 14:00. A plumber is on call for burst pipes and flooding on Sundays and at night.'),
  '/prices': page('Prices', 'A drain camera inspection costs 149 dollars, and we take that off the bill when you book the repair with us. A written estimate for a new water heater is free.'),
  '/area': page('Service area', 'We work in Millbrook, Ashford and Lower Fenwick, and up to 25 miles around them.'),
};

const site = await createSite(SITE);
const colloquy = await createColloquy();
const browser = await launch({ viewport: { width: 1200, height: 750 }, colorScheme: 'light' });
try {
  await colloquy.start();
  const api = createApi(colloquy.url);
  await api.signUp();
  const agent = await api.createAgent({ vertical: 'home_services', name: 'Robin', welcome_message: "Hi, I'm Robin, the AI assistant of Brightwell Plumbing. What can I do for you?", website_url: site.origin + '/', variables: { business_name: 'Brightwell Plumbing' } });
  const found = async () => (await api.call('POST', `/api/agents/${agent.id}/search`, { query: 'drain camera inspection', limit: 1 })).items.length;
  await until(found, 'the site in the index', 60_000);
  const tab = await browser.context.newPage();
  await tab.goto(`${colloquy.url}/demo/${agent.id}`);
  const frame = await open(tab);
  for (const [question, fact] of [['What does a drain camera inspection cost?', /149/], ['Are you open on Saturday?', /8:00 to 14:00/]]) {
    await say(frame, question);
    await until(async () => fact.test(await answers(frame).last().innerText()), 'an answer to: ' + question);
  }
  await frame.locator('.source').last().waitFor();
  await tab.screenshot({ path: OUT });
} finally {
  await browser.close();
  await colloquy.close();
  await site.close();
}
