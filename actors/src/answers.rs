//! Where first answers to idempotency keys are kept, so that an erasure can take them away.

/// Stands for a tenant where nobody in particular asks.
pub const ANYBODY: &str = "anybody";

/// What stands in the place of an answer that was taken away: it is no answer the gateway ever keeps.
pub const GONE: &[u8] = b"gone";

/// The scope of a principal and a path within its tenant. Both stay unreadable: paths and principals name visitors.
pub fn scope(tenant: &str, of: &str) -> String {
    format!("{}{}", scope_of_tenant(tenant), blake3::hash(of.as_bytes()).to_hex())
}

/// What all scopes of a tenant begin with.
pub fn scope_of_tenant(tenant: &str) -> String {
    format!("{tenant}/")
}
