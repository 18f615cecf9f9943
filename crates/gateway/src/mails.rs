//! The letters that the gateway itself causes: links to sign in, to set a password, to join.

use colloquy_actors::connectors::Mail;
use colloquy_actors::connectors::mail::templates;
use colloquy_actors::domain::account::limits;
use colloquy_actors::domain::tenant::limits as tenant_limits;

use crate::app::AppState;
use crate::tokens::hash_secret;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// A link to set a new password; `token` goes into it.
pub(crate) fn reset(app: &AppState, to: &str, _name: &str, token: &str) -> Mail {
    let url = format!("{}/reset-password?token={token}", app.settings.public_url);
    templates::password_reset(to, &hash_secret(token), &url, whole(limits::RESET_TTL_MS / MINUTE_MS))
}

/// A link to a page whose button signs in; `token` goes into it. Programs that open the links of a mail to look for malware press no buttons.
pub(crate) fn magic(app: &AppState, to: &str, _name: &str, token: &str) -> Mail {
    let url = format!("{}/api/auth/magic/{token}", app.settings.public_url);
    templates::magic_link(to, &hash_secret(token), &url, whole(limits::MAGIC_TTL_MS / MINUTE_MS))
}

/// An invitation to join an organization.
pub(crate) fn invitation(to: &str, organization: &str, inviter: &str, role: &str, link: &str) -> Mail {
    templates::invitation(
        to,
        &hash_secret(link),
        organization,
        inviter,
        role,
        link,
        whole(tenant_limits::INVITATION_TTL_MS / DAY_MS),
    )
}

fn whole(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
