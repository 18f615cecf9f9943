//! The limits of an agent and its configuration, each with its reason.

/// The longest system prompt: some 5,000 tokens, which leaves room for knowledge and history in every model's window.
pub const PROMPT_CHARS_MAX: usize = 20_000;
/// The longest message text; longer ones are not read in a chat window.
pub const MESSAGE_CHARS_MAX: usize = 2_000;
/// The longest short text: a label, a question, a guardrail.
pub const LINE_CHARS_MAX: usize = 500;
/// The longest word or phrase that sets a rule off.
pub const PHRASE_CHARS_MAX: usize = 100;
/// Words or phrases of one rule; each is looked for in every message.
pub const PHRASES_MAX: usize = 200;
/// Buttons below the first message.
pub const QUICK_PROMPTS_MAX: usize = 10;
/// Fields of a lead or of forms.
pub const FIELDS_MAX: usize = 60;
/// Choices of a select.
pub const OPTIONS_MAX: usize = 100;
/// Forms, intents, rules and notices of one agent, each.
pub const RULES_MAX: usize = 50;
/// Variables of one agent.
pub const VARIABLES_MAX: usize = 200;
/// Origins that may frame a widget; each goes into a response header.
pub const ORIGINS_MAX: usize = 50;
/// A whole configuration as JSON, bytes: it is journaled with every change and copied to each node.
pub const CONFIG_BYTES_MAX: usize = 256 * 1024;
/// Configurations kept whole in memory to be listed and restored; older ones are in the journal.
pub const VERSIONS_KEPT: usize = 50;
/// The longest answer a model may be asked for, tokens.
pub const ANSWER_TOKENS_MAX: u32 = 4_096;
/// The most messages of one conversation; it is held in memory whole.
pub const MESSAGES_PER_CONVERSATION_MAX: u32 = 2_000;
/// The longest time after which a new lead is called by itself: an hour later they have called somebody else.
pub const AUTO_CALL_MINUTES_MAX: u32 = 60;
/// Countries that new leads are called in besides the organization's own: a business that serves more calls them by campaigns.
pub const AUTO_CALL_COUNTRIES_MAX: usize = 30;
/// The longest text message to somebody whose call nobody answered: three segments, which every carrier delivers as one.
pub const MISSED_CALL_TEXT_CHARS_MAX: usize = 459;
