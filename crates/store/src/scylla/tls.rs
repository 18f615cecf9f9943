//! TLS to the CQL servers from PEM files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::StoreError;

/// Files that a TLS connection to the servers needs.
#[derive(Clone, Debug)]
pub struct ScyllaTls {
    /// The certificates that the servers' certificates must lead to, PEM.
    pub ca: PathBuf,
    /// Certificate chain and private key, PEM, where the servers ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

pub(super) fn client(files: &ScyllaTls) -> Result<Arc<ClientConfig>, StoreError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|error| unusable(&files.ca, error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(&files.ca, error))?
        .with_root_certificates(roots);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let read = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
            builder.with_client_auth_cert(certificates(chain)?, read).map_err(|error| unusable(chain, error))?
        }
    };
    Ok(Arc::new(config))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unusable(file, error))?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unusable(file, error))?;
    if certificates.is_empty() { Err(unusable(file, "it holds no certificate")) } else { Ok(certificates) }
}

fn unusable(file: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Invalid(format!("{}: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_or_holds_no_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        let refused = || client(&ScyllaTls { ca: ca.clone(), identity: None }).unwrap_err().to_string();
        assert!(refused().contains("ca.pem"), "{}", refused());
        std::fs::write(&ca, "no certificate").unwrap();
        assert!(refused().contains("ca.pem") && refused().contains("no certificate"), "{}", refused());
    }
}
