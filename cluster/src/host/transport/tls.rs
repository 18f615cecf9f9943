//! Mutual TLS between nodes: one authority, a certificate per node with the node's id as its name.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::config::TlsFiles;
use super::handshake::Refusal;
use crate::error::ClusterError;

/// Both directions of TLS on this node.
pub(super) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    /// Reads the certificates. Only TLS 1.3, and only certificates of the cluster's own authority.
    pub(super) fn load(files: &TlsFiles) -> Result<Self, ClusterError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&files.authority)? {
            roots.add(certificate).map_err(wrong(&files.authority))?;
        }
        let roots = Arc::new(roots);
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key).map_err(wrong(&files.key))?;

        // Named, because the process may hold more than one provider.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(wrong(&files.authority))?;
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(wrong(&files.certificate))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(wrong(&files.certificate))?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(wrong(&files.certificate))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(wrong(&files.certificate))?;
        Ok(Self { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }

    /// Encrypts a connection to a node, whose certificate must carry its id.
    pub(super) async fn connect(
        &self,
        node: &str,
        stream: TcpStream,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(node.to_owned())
            .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))?;
        self.connector.connect(name, stream).await
    }

    /// Encrypts a connection from a node; who it is must be checked with [`check_name`] once it has said so.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> std::io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

/// Whether the certificate of a connection carries the node's id.
pub(super) fn check_name(stream: &tokio_rustls::server::TlsStream<TcpStream>, node: &str) -> Result<(), Refusal> {
    let (_, connection) = stream.get_ref();
    let refusal = || Refusal::new("the certificate", "required to name the node", format!("not one of {node:?}"));
    let certificate = connection.peer_certificates().and_then(|chain| chain.first()).ok_or_else(refusal)?;
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| refusal())?;
    let name = ServerName::try_from(node).map_err(|_| refusal())?;
    rustls::client::verify_server_name(&parsed, &name).map_err(|_| refusal())
}

/// An acceptor that accepts nobody, for the listener that `ractor_cluster` always opens.
pub(super) fn nobody() -> Result<TlsAcceptor, ClusterError> {
    #[derive(Debug)]
    struct NoCertificate;
    impl ResolvesServerCert for NoCertificate {
        fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
            None
        }
    }
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| ClusterError::Node(format!("TLS cannot be set up: {error}")))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoCertificate));
    Ok(Arc::new(config).into())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClusterError> {
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(wrong(path))?.collect::<Result<_, _>>().map_err(wrong(path))?;
    if found.is_empty() {
        return Err(wrong(path)("it holds no certificate"));
    }
    Ok(found)
}

fn wrong<E: ToString>(path: &Path) -> impl Fn(E) -> ClusterError {
    let path = path.display().to_string();
    move |error| ClusterError::Certificate { path: path.clone(), detail: error.to_string() }
}
