// The WordPress plugin as it is downloaded: taken apart by another program, read by PHP, checked for what a plugin needs.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { wordpressFiles } from '../src/lib/embed';
import { zip } from '../src/lib/zip';

const EVIL = `O'Brien & Sons */ ?><script>alert(1)</script> <?php system('id'); \\`;
const AGENT = `a'b\\c`;
let folder = '';
let plugin = '';

const has = (program: string) => spawnSync(program, ['--version']).error === undefined;
const php = (file: string) => readFileSync(join(plugin, file), 'utf8');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'plugin-'));
  const archive = join(folder, 'plugin.zip');
  writeFileSync(archive, new Uint8Array(await zip(wordpressFiles(AGENT, EVIL, 'https://w.example', 'https://c.example/app')).arrayBuffer()));
  if (has('unzip')) execFileSync('unzip', ['-q', archive, '-d', folder]);
  else execFileSync('python3', ['-m', 'zipfile', '-e', archive, folder]);
  plugin = join(folder, 'colloquy-receptionist');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The code of a PHP file outside of comments and texts, with what stands between `?>` and `<?php` taken out. Null when something is not closed. */
function bare(source: string): string | null {
  let out = '';
  let at = 0;
  let inside = false;
  while (at < source.length) {
    const rest = source.slice(at);
    if (!inside) {
      const open = rest.indexOf('<?php');
      if (open < 0) return out;
      at += open + 5;
      inside = true;
    } else if (rest.startsWith('?>')) {
      inside = false;
      at += 2;
    } else if (rest.startsWith('/*')) {
      const end = rest.indexOf('*/');
      if (end < 0) return null;
      at += end + 2;
    } else if (rest.startsWith('//')) {
      at += Math.max(1, rest.search(/\n|\?>|$/));
    } else if (rest.startsWith("'")) {
      const text = /^'(?:[^'\\]|\\[\s\S])*'/.exec(rest);
      if (!text) return null;
      at += text[0].length;
      out += "''";
    } else {
      out += rest[0];
      at += 1;
    }
  }
  return out;
}

test('it is one folder with a plugin, its readme, and what removes it', () => {
  expect(readdirSync(plugin).sort()).toEqual(['colloquy-receptionist.php', 'readme.txt', 'uninstall.php']);
  const source = php('colloquy-receptionist.php');
  const header = /^<\?php\n\/\*\*\n([\s\S]*?)\*\//.exec(source)?.[1] ?? '';
  for (const field of ['Plugin Name', 'Description', 'Version', 'Requires at least', 'Requires PHP', 'License', 'Text Domain']) expect(header, field).toMatch(new RegExp(`^ \\* ${field}: \\S`, 'm'));
  const version = /Version: (\S+)/.exec(header)?.[1];
  expect(php('readme.txt')).toContain(`Stable tag: ${version}\n`);
});

test('it loads the widget by the queue, has its settings and a way to them, and nobody else opens its files', () => {
  const source = php('colloquy-receptionist.php');
  const code = bare(source) ?? '';
  expect(source).toContain(`'https://w.example/widget/a\\'b\\\\c.js'`);
  for (const call of ['wp_enqueue_script', 'register_setting', 'settings_fields', 'add_options_page', 'current_user_can', 'submit_button']) expect(code, call).toMatch(new RegExp(`\\b${call}\\(`));
  expect(source).toContain("add_action('wp_enqueue_scripts'");
  expect(source).toContain("'plugin_action_links_' . plugin_basename(__FILE__)");
  for (const file of ['colloquy-receptionist.php', 'uninstall.php']) expect(php(file)).toMatch(/if \(!defined\('[A-Z_]+'\)\) \{\n {4}exit;/);
  // Every name that WordPress is told of is there.
  const named = [...source.matchAll(/'(colloquy_receptionist_[a-z]+)'/g)].map((found) => found[1]).filter((one) => one !== 'colloquy_receptionist_enabled');
  for (const one of new Set(named)) expect(source, one).toContain(`function ${one}(`);
});

test('everything it prints is escaped', () => {
  const printed = [...php('colloquy-receptionist.php').matchAll(/echo ([a-z_]+)\(/g)].map((found) => found[1] ?? '');
  expect(printed.length).toBeGreaterThan(3);
  for (const by of printed) expect(by).toMatch(/^esc_(html|url|attr)$/);
});

test('a hostile name of an organization or agent is a text in it, and never code', () => {
  for (const file of ['colloquy-receptionist.php', 'uninstall.php']) {
    const code = bare(php(file));
    expect(code, `${file}: every comment and text is closed`).not.toBeNull();
    expect(code).not.toMatch(/system|alert/);
    for (const [open, close] of [['(', ')'], ['{', '}'], ['[', ']']] as const) expect(code?.split(open).length, `${file}: ${open}`).toBe(code?.split(close).length);
  }
});

test('PHP reads it', () => {
  expect(has('php'), "PHP is missing; 'make test' installs it (Debian: apt-get install php-cli)").toBe(true);
  for (const file of ['colloquy-receptionist.php', 'uninstall.php']) expect(execFileSync('php', ['-l', join(plugin, file)]).toString()).toContain('No syntax errors');
});
