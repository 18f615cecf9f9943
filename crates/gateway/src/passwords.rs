//! Passwords: what is acceptable, and argon2id off the async threads.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};

use crate::app::AppState;
use crate::problem::Problem;

/// The shortest password, characters: NIST SP 800-63B asks for 8 at least; two more cost nobody anything.
const CHARS_MIN: usize = 10;
/// The longest password, bytes: hashing more would be work for nothing.
const BYTES_MAX: usize = 512;
/// A hash of nothing anybody knows, checked when an address is unknown so that both cases take the same time.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$Y29sbG9xdXktbm9ib2R5$3tSbnRBkEvTQdNsNVxHnVuDxq2oHlJzGAoBGhcCGWQM";

/// Whether a new password will do.
pub(crate) fn acceptable(password: &str) -> Result<(), String> {
    if password.chars().count() < CHARS_MIN {
        return Err(format!("must have at least {CHARS_MIN} characters"));
    }
    if password.len() > BYTES_MAX {
        return Err(format!("must not be longer than {BYTES_MAX} bytes"));
    }
    let first = password.chars().next();
    if password.chars().all(|c| Some(c) == first) {
        return Err("must not be one character repeated".into());
    }
    Ok(())
}

/// Hashes a password (argon2id, 19 MiB, 2 passes: the OWASP minimum).
pub(crate) async fn hash(app: &AppState, password: String) -> Result<String, Problem> {
    in_turn(app, move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|error| error.to_string())
    })
    .await?
    .map_err(|error| {
        tracing::error!(%error, "a password could not be hashed");
        Problem::unavailable("unavailable", "The password could not be stored: try again.", 1)
    })
}

/// Whether a password is the one of `hash`. Without a hash it takes as long and says no.
pub(crate) async fn verify(app: &AppState, password: String, hash: Option<String>) -> Result<bool, Problem> {
    if password.len() > BYTES_MAX {
        return Ok(false);
    }
    in_turn(app, move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        let good = PasswordHash::new(&hash)
            .is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok());
        good && known
    })
    .await
}

async fn in_turn<T: Send + 'static>(app: &AppState, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let busy = || Problem::unavailable("overloaded", "Too many sign-ins at once: try again shortly.", 1);
    let _turn = app.hashes.acquire().await.map_err(|_| busy())?;
    tokio::task::spawn_blocking(work).await.map_err(|_| busy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_hash_costs_as_much_as_a_real_one() {
        let stand_in = PasswordHash::new(NOBODY).unwrap();
        let real = Argon2::default().hash_password(b"a real password").unwrap().to_string();
        let real = PasswordHash::new(&real).unwrap();
        assert_eq!(stand_in.params, real.params);
        assert_eq!(stand_in.algorithm, real.algorithm);
    }

    #[test]
    fn short_and_repeated_passwords_are_refused() {
        assert!(acceptable("short").is_err());
        assert!(acceptable("aaaaaaaaaaaaaaaa").is_err());
        assert!(acceptable("three old boats").is_ok());
    }
}
