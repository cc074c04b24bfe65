//! TLS in front of DNS: certificates, and handshakes with a deadline.
//!
//! In: a chain and a key, in PEM (RFC 7468). Out: what listeners need, and connections that are
//! safe to talk on. Always holds: a certificate is replaced for new connections at once, and not at
//! all if the new one cannot be read or does not fit its key; a client that is slow to shake hands
//! is not waited for; what a connection holds for a client that does not read is bounded.
//! It deliberately does not know what is said afterwards.
//!
//! RFC 7858 §3 (DNS over TLS; the ALPN token "dot" is from the IANA registry).

use std::{fmt, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{record::Met, streams::Session};

/// What a client of DNS over TLS may ask for.
pub(crate) const ALPN: &[u8] = b"dot";
/// Bytes that a connection holds for a client that does not read.
const UNSENT_BYTES_MAX: usize = 32 * 1024;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The chain cannot be read.
    #[error("the certificate chain {path:?} cannot be read")]
    Chain {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// The file has no certificate.
    #[error("the certificate chain {path:?} has no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key cannot be read.
    #[error("the private key {path:?} cannot be read")]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// The key is of a kind that we do not speak, or not the certificate's.
    #[error("the private key {path:?} does not fit its certificate")]
    Unfit {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Where a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own first.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What the encrypted transports show; clones show the same.
#[derive(Clone)]
pub struct Certificates {
    shown: Arc<Shown>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Certificates {
    /// Reads a certificate.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn load(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Arc::new(Shown(ArcSwap::from_pointee(read(files, &provider)?)));
        Ok(Self { shown, provider })
    }

    /// Reads it again; connections that begin from now on see the new one.
    ///
    /// # Errors
    /// It cannot be used; the old one stays.
    pub fn reload(&self, files: &CertificateFiles) -> Result<(), CertificateError> {
        self.shown.0.store(Arc::new(read(files, &self.provider)?));
        Ok(())
    }

    pub(crate) fn acceptor(&self, alpn: &[&[u8]]) -> TlsAcceptor {
        TlsAcceptor::from(Arc::new(self.config(alpn, rustls::ALL_VERSIONS)))
    }

    /// A configuration for QUIC, which has only TLS 1.3 (RFC 9001 §4.2).
    pub(crate) fn quic(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        Arc::new(self.config(alpn, &[&rustls::version::TLS13]))
    }

    fn config(
        &self,
        alpn: &[&[u8]],
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ServerConfig {
        #[expect(
            clippy::expect_used,
            reason = "the versions are this file's, and the provider has suites for each of them"
        )]
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .expect("aws-lc-rs speaks TLS 1.2 and 1.3");
        let mut config =
            builder.with_no_client_auth().with_cert_resolver(Arc::<Shown>::clone(&self.shown));
        config.alpn_protocols = alpn.iter().map(|token| token.to_vec()).collect();
        // One is enough for a resolver that comes back, and each costs as much as a signature.
        config.send_tls13_tickets = 1;
        config
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

fn read(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CertificateError> {
    let CertificateFiles { chain: chain_path, key: key_path } = files;
    let path = || chain_path.clone();
    let chain = CertificateDer::pem_file_iter(chain_path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| CertificateError::Chain { path: path(), source })?;
    if chain.is_empty() {
        return Err(CertificateError::Empty { path: path() });
    }
    let path = || key_path.clone();
    let key = PrivateKeyDer::from_pem_file(key_path)
        .map_err(|source| CertificateError::Key { path: path(), source })?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|source| CertificateError::Unfit { path: path(), source })
}

/// Shakes hands; nothing, if that failed or took too long.
pub(crate) async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    session: &Session,
) -> Option<TlsStream<TcpStream>> {
    let accepting = acceptor.accept_with(stream, |connection| {
        connection.set_buffer_limit(Some(UNSENT_BYTES_MAX));
    });
    let shaken: io::Result<_> = match timeout(session.limits.handshake_timeout, accepting).await {
        Ok(shaken) => shaken,
        Err(_) => {
            session.met(Met::Expired);
            return None;
        }
    };
    if shaken.is_err() {
        session.met(Met::Broken);
    }
    shaken.ok()
}
