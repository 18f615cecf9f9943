//! The organization behind the landing page: its names, and that nothing said to it leaves it.

/// The organization. Ids of others are random: none has this one.
pub const TENANT: &str = "colloquy-demo";
/// Its only agent.
pub const AGENT: &str = "colloquy-demo-agent";

/// Whether conversations of a tenant are sandboxes from their first word: no lead, no alert, no number, no person is told.
pub fn is_sandboxed(tenant: &str) -> bool {
    tenant == TENANT
}
