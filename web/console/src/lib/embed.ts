// What an owner puts on a website: the one line, the WordPress plugin that prints it, the steps for Webflow.
import { zip } from './zip';

/** Where browsers fetch the widget from, as the server says it. */
export function widgetUrl(): string {
  const said = document.querySelector('meta[name="colloquy-widget-url"]')?.getAttribute('content') ?? '';
  // Served by the development server, the page still has its placeholder.
  return /^https?:\/\//.test(said) ? said : location.origin;
}

/** From where an address can be reached: names and numbers that only this computer or its own network knows lead no visitor here. */
export function reachOf(url: string): 'everywhere' | 'network' | 'computer' {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '').toLowerCase();
  if (host === 'localhost' || host.endsWith('.localhost') || host === '0.0.0.0' || host === '::' || host === '::1' || /^127\./.test(host)) return 'computer';
  const [a = 0, b = 0] = host.split('.').map(Number);
  const number = /^\d+(\.\d+){3}$/.test(host);
  if (number && (a === 10 || (a === 172 && b >= 16 && b <= 31) || (a === 192 && b === 168) || (a === 169 && b === 254) || (a === 100 && b >= 64 && b <= 127))) return 'network';
  if (/^f[cd][0-9a-f]{2}:|^fe[89ab][0-9a-f]:/.test(host) || /\.(local|lan|internal|home\.arpa)$/.test(host) || (!number && !host.includes('.') && !host.includes(':'))) return 'network';
  return 'everywhere';
}

export const embedCode = (agent: string, base = widgetUrl()) => `<script async src="${base}/widget/${agent}.js"></script>`;

/** PHP reads a text in single quotes as it stands, but for these two. */
const quoted = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`;

/** A comment must not be ended, and a line not be broken, by somebody's name. */
const oneLine = (text: string) => text.replace(/[\r\n]+/g, ' ').replace(/\*\//g, '').slice(0, 80);

/** The plugin as files: it loads the widget on every page, can be switched off in its settings, and cleans up when it is deleted. */
export function wordpressFiles(agent: string, organization: string, base = widgetUrl(), console = location.origin + '/app'): Record<string, string> {
  const name = oneLine(organization);
  return {
    'colloquy-receptionist/colloquy-receptionist.php': `<?php
/**
 * Plugin Name: Colloquy Receptionist
 * Description: Puts the AI receptionist of ${name} on every page.
 * Version: 1.1.0
 * Requires at least: 6.3
 * Requires PHP: 7.4
 * License: Apache-2.0
 * License URI: https://www.apache.org/licenses/LICENSE-2.0
 * Text Domain: colloquy-receptionist
 */

if (!defined('ABSPATH')) {
    exit;
}

const COLLOQUY_RECEPTIONIST_SCRIPT = ${quoted(`${base}/widget/${agent}.js`)};
const COLLOQUY_RECEPTIONIST_CONSOLE = ${quoted(`${console}/agents/${agent}`)};
const COLLOQUY_RECEPTIONIST_OPTION = 'colloquy_receptionist_enabled';

/** Loads the widget beside the page, never in its way. */
function colloquy_receptionist_enqueue() {
    if (get_option(COLLOQUY_RECEPTIONIST_OPTION, '1') !== '1') {
        return;
    }
    wp_enqueue_script(
        'colloquy-receptionist',
        esc_url_raw(COLLOQUY_RECEPTIONIST_SCRIPT),
        array(),
        null,
        array('strategy' => 'async', 'in_footer' => true)
    );
}
add_action('wp_enqueue_scripts', 'colloquy_receptionist_enqueue');

/** Whatever is sent, on or off is kept. */
function colloquy_receptionist_sanitize($value) {
    return $value === '1' ? '1' : '0';
}

function colloquy_receptionist_register() {
    register_setting('colloquy_receptionist', COLLOQUY_RECEPTIONIST_OPTION, array(
        'type' => 'string',
        'default' => '1',
        'sanitize_callback' => 'colloquy_receptionist_sanitize',
    ));
}
add_action('admin_init', 'colloquy_receptionist_register');

function colloquy_receptionist_menu() {
    add_options_page(
        __('Colloquy Receptionist', 'colloquy-receptionist'),
        __('Colloquy Receptionist', 'colloquy-receptionist'),
        'manage_options',
        'colloquy-receptionist',
        'colloquy_receptionist_page'
    );
}
add_action('admin_menu', 'colloquy_receptionist_menu');

function colloquy_receptionist_page() {
    if (!current_user_can('manage_options')) {
        return;
    }
    ?>
    <div class="wrap">
        <h1><?php echo esc_html(get_admin_page_title()); ?></h1>
        <form action="<?php echo esc_url(admin_url('options.php')); ?>" method="post">
            <?php settings_fields('colloquy_receptionist'); ?>
            <table class="form-table" role="presentation">
                <tr>
                    <th scope="row"><?php esc_html_e('On your website', 'colloquy-receptionist'); ?></th>
                    <td>
                        <label>
                            <input type="checkbox" name="<?php echo esc_attr(COLLOQUY_RECEPTIONIST_OPTION); ?>" value="1" <?php checked(get_option(COLLOQUY_RECEPTIONIST_OPTION, '1'), '1'); ?>>
                            <?php esc_html_e('Show the receptionist on every page', 'colloquy-receptionist'); ?>
                        </label>
                    </td>
                </tr>
                <tr>
                    <th scope="row"><?php esc_html_e('Loaded from', 'colloquy-receptionist'); ?></th>
                    <td><code><?php echo esc_html(COLLOQUY_RECEPTIONIST_SCRIPT); ?></code></td>
                </tr>
            </table>
            <p><a href="<?php echo esc_url(COLLOQUY_RECEPTIONIST_CONSOLE); ?>" target="_blank" rel="noopener"><?php esc_html_e('What it says and how it looks is set in its console.', 'colloquy-receptionist'); ?></a></p>
            <?php submit_button(); ?>
        </form>
    </div>
    <?php
}

/** The way to the settings, in the list of plugins. */
function colloquy_receptionist_links($links) {
    $address = admin_url('options-general.php?page=colloquy-receptionist');
    array_unshift($links, sprintf('<a href="%s">%s</a>', esc_url($address), esc_html__('Settings', 'colloquy-receptionist')));
    return $links;
}
add_filter('plugin_action_links_' . plugin_basename(__FILE__), 'colloquy_receptionist_links');
`,
    'colloquy-receptionist/uninstall.php': `<?php
// Nothing of the plugin stays when it is deleted.
if (!defined('WP_UNINSTALL_PLUGIN')) {
    exit;
}
delete_option('colloquy_receptionist_enabled');
`,
    'colloquy-receptionist/readme.txt': `=== Colloquy Receptionist ===
Requires at least: 6.3
Requires PHP: 7.4
Stable tag: 1.1.0
License: Apache-2.0
License URI: https://www.apache.org/licenses/LICENSE-2.0

Puts the AI receptionist of ${name} on every page.

== Description ==

Activate the plugin; it already knows its receptionist. It can be switched off under Settings, Colloquy Receptionist. The chat is loaded from
${base} when a page is shown; what visitors write there is kept there.
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
