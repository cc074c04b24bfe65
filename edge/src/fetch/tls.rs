//! TLS towards origin servers.
//!
//! In: what a site says of it, a byte stream. Out: the stream inside a session.
//! Always holds: a server's certificate is checked against the name that is asked for (RFC 9110
//! §4.3.4) and the authorities that the site trusts. It knows no addresses and no HTTP.

use std::{fs, io, path::Path, sync::Arc};

use edge_core::site::ServerAddress;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio_rustls::TlsConnector;

use super::{FetchError, chain, connect::BoxedIo, io_reason};

/// What TLS to one site's servers needs.
#[derive(Clone)]
pub struct TlsPlan {
    connector: TlsConnector,
    sni: Option<String>,
    /// What the named file of authorities held.
    authorities: Option<Vec<u8>>,
}

impl TlsPlan {
    /// Trusts the certificate authorities in `ca`, or the system's.
    ///
    /// # Errors
    /// Says which file cannot be used, or that the system has no certificate authorities.
    pub fn new(ca: Option<&Path>, sni: Option<String>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let mut authorities = None;
        match ca {
            Some(path) => {
                let unread = |error: String| format!("cannot read {}: {error}", path.display());
                let held = fs::read(path).map_err(|error| unread(error.to_string()))?;
                let certificates = CertificateDer::pem_slice_iter(&held)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| unread(error.to_string()))?;
                authorities = Some(held);
                let (added, ignored) = roots.add_parsable_certificates(certificates);
                if added == 0 || ignored > 0 {
                    return Err(format!(
                        "{} holds {added} usable certificates and {ignored} unusable ones",
                        path.display()
                    ));
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err("the system has no certificate authorities; install \
                                ca-certificates or name a file with `ca`"
                        .to_owned());
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| chain(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), sni, authorities })
    }

    /// Whether the named file of authorities, if there is one, still holds what this was made of.
    #[must_use]
    pub fn is_current(&self, ca: Option<&Path>) -> bool {
        ca.is_none_or(|path| fs::read(path).ok() == self.authorities)
    }

    /// Wraps a stream to `server` in TLS, checking its certificate.
    ///
    /// # Errors
    /// [`FetchError::Tls`] when the name is none or the handshake fails.
    pub async fn wrap(
        &self,
        stream: BoxedIo,
        server: &ServerAddress,
    ) -> Result<BoxedIo, FetchError> {
        let failed = |reason: String| FetchError::Tls { server: server.authority.clone(), reason };
        let name = self.sni.as_deref().unwrap_or(&server.host).to_owned();
        let name = ServerName::try_from(name).map_err(|error| failed(chain(&error)))?;
        let stream = self
            .connector
            .connect(name, stream)
            .await
            .map_err(|error: io::Error| failed(io_reason(&error)))?;
        Ok(Box::new(stream))
    }
}
