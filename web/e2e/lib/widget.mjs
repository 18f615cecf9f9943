// The widget as a test sees it: the button on the host page, the frame behind it, and what can be done there.
import { until } from './browser.mjs';

/** The button lives in a shadow root beside <body>. */
export const launcher = (page) => page.locator('html > div button');

export async function frameOf(page) {
  return until(() => page.frames().find((frame) => /\/widget\/[^/]+$/.test(new URL(frame.url(), 'http://x').pathname) && frame !== page.mainFrame()), 'the widget frame');
}

/** Opens the panel and waits for the connection. */
export async function open(page) {
  await launcher(page).click();
  const frame = await frameOf(page);
  await frame.locator('#status.ready').waitFor();
  return frame;
}

export async function say(frame, text) {
  await frame.locator('#input').fill(text);
  await frame.locator('#input').press('Enter');
}

/** The words of the last finished answer. */
export const answers = (frame) => frame.locator('.row.bot:not(.partial) .bubble, .row.human .bubble');

export const bubbles = (frame) => frame.locator('.bubble:not(.dots)').allInnerTexts();
