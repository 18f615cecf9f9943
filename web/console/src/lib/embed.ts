// What an owner puts on a website: the one line, the WordPress plugin that prints it, the steps for Webflow.
import { zip } from './zip';

/** Where browsers fetch the widget from, as the server says it. */
export function widgetUrl(): string {
  const said = document.querySelector('meta[name="colloquy-widget-url"]')?.getAttribute('content') ?? '';
  // Served by the development server, the page still has its placeholder.
  return /^https?:\/\//.test(said) ? said : location.origin;
}

export const embedCode = (agent: string, base = widgetUrl()) => `<script async src="${base}/widget/${agent}.js"></script>`;

/** PHP reads a text in single quotes as it stands, but for these two. */
const quoted = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`;

/** A comment must not be ended, and a line not be broken, by somebody's name. */
const oneLine = (text: string) => text.replace(/[\r\n]+/g, ' ').replace(/\*\//g, '').slice(0, 80);

export function wordpressFiles(agent: string, organization: string, base = widgetUrl()): Record<string, string> {
  const name = oneLine(organization);
  return {
    'colloquy-receptionist/colloquy-receptionist.php': `<?php
/**
 * Plugin Name: Colloquy Receptionist
 * Description: Puts the AI receptionist of ${name} on every page.
 * Version: 1.0.0
 * Requires at least: 5.7
 * License: Apache-2.0
 */

if (!defined('ABSPATH')) {
    exit;
}

add_action('wp_footer', function () {
    wp_print_script_tag(array('src' => ${quoted(`${base}/widget/${agent}.js`)}, 'async' => true));
});
`,
    'colloquy-receptionist/readme.txt': `=== Colloquy Receptionist ===
Requires at least: 5.7
Stable tag: 1.0.0
License: Apache-2.0

The AI receptionist of ${name} on every page of your site. Activate the plugin; there is nothing to set up.
`,
  };
}

export function save(name: string, content: Blob) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const savePlugin = (agent: string, organization: string) => save('colloquy-receptionist.zip', zip(wordpressFiles(agent, organization)));

/** A cell that a spreadsheet never runs. */
const cell = (value: unknown) => {
  const text = value == null ? '' : String(value);
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

export const csv = (columns: string[], rows: unknown[][]) => [columns, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
export const saveCsv = (name: string, columns: string[], rows: unknown[][]) => save(name, new Blob([csv(columns, rows)], { type: 'text/csv' }));
