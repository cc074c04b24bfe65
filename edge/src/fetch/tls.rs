//! TLS towards origin servers.
//!
//! In: what a site says of it, a byte stream. Out: the stream inside a session, and the protocol
//! that was agreed on.
//! Always holds: a server's certificate is checked against the name that is asked for (RFC 9110
//! §4.3.4) and the authorities that the site trusts; sessions are resumed where a server lets them
//! (RFC 8446 §2.2), within one plan only, so that none outlives the files it was made of.
//! It knows no addresses and no HTTP.

use std::{io, path::Path, sync::Arc};

use edge_core::{
    settings::OriginProtocol,
    site::{OriginPlan, ServerAddress},
};
use nearcast_daemon::files::Print;
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    client::{ClientConnection, WantsClientCert},
    pki_types::ServerName,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsConnector;

use super::{FetchError, chain, connect::BoxedIo, io_reason};

/// The names of the protocols that may be agreed on (RFC 7301).
const HTTP_1_1: &[u8] = b"http/1.1";
/// See [`HTTP_1_1`].
const HTTP_2: &[u8] = b"h2";

/// What TLS to one site's servers needs.
#[derive(Clone)]
pub struct TlsPlan {
    connector: TlsConnector,
    sni: Option<String>,
    needs_http2: bool,
    made_of: Arc<[Print]>,
}

/// A stream inside a session.
pub struct Session {
    /// The bytes.
    pub stream: BoxedIo,
    /// Whether HTTP/2 was agreed on.
    pub is_http2: bool,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
}

impl TlsPlan {
    /// Trusts the certificate authorities in the plan's file, or the system's, and shows the plan's
    /// certificate where a server asks for one.
    ///
    /// # Errors
    /// Says which file cannot be used, or that the system has no certificate authorities.
    pub fn new(plan: &OriginPlan) -> Result<Self, String> {
        let identity = plan.identity.as_ref();
        let files =
            identity.into_iter().flat_map(|identity| [&identity.certificate, &identity.key]);
        // Before they are read: one that is replaced meanwhile is seen as new later.
        let made_of = plan.ca.iter().chain(files).map(|path| Print::of(path)).collect();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| chain(&error))?
            .with_root_certificates(authorities(plan.ca.as_deref())?);
        let mut config = match identity {
            Some(identity) => identified(config, &identity.certificate, &identity.key)?,
            None => config.with_no_client_auth(),
        };
        let protocols: &[&[u8]] = match plan.protocol {
            OriginProtocol::Auto => &[HTTP_2, HTTP_1_1],
            OriginProtocol::Http1 => &[HTTP_1_1],
            OriginProtocol::Http2 => &[HTTP_2],
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            sni: plan.sni.clone(),
            needs_http2: plan.protocol == OriginProtocol::Http2,
            made_of,
        })
    }

    /// Whether the files that it was made of are still the same.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.made_of.iter().all(Print::is_current)
    }

    /// Wraps a stream to `server` in TLS, checking its certificate.
    ///
    /// # Errors
    /// [`FetchError::Tls`] when the name is none, the handshake fails, or the server does not speak
    /// the protocol that the settings ask for.
    pub async fn wrap(
        &self,
        stream: BoxedIo,
        server: &ServerAddress,
    ) -> Result<Session, FetchError> {
        let failed = |reason: String| FetchError::Tls { server: server.authority.clone(), reason };
        let name = self.sni.as_deref().unwrap_or(&server.host).to_owned();
        let name = ServerName::try_from(name).map_err(|error| failed(chain(&error)))?;
        let stream = self
            .connector
            .connect(name, stream)
            .await
            .map_err(|error: io::Error| failed(io_reason(&error)))?;
        let session: &ClientConnection = stream.get_ref().1;
        let is_http2 = session.alpn_protocol() == Some(HTTP_2);
        let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        if self.needs_http2 && !is_http2 {
            let reason = "it does not agree on h2 (ALPN), which `protocol` asks for";
            return Err(failed(reason.to_owned()));
        }
        Ok(Session { stream: Box::new(stream), is_http2, is_resumed })
    }
}

/// The authorities in a file, or the system's.
fn authorities(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("the system has no certificate authorities; install ca-certificates or \
                        name a file with `ca`"
                .to_owned());
        }
        return Ok(roots);
    };
    let (added, ignored) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 || ignored > 0 {
        return Err(format!(
            "{} holds {added} usable certificates and {ignored} unusable ones",
            path.display()
        ));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn identified(
    config: rustls::ConfigBuilder<ClientConfig, WantsClientCert>,
    certificate: &Path,
    key: &Path,
) -> Result<ClientConfig, String> {
    let chain_of = certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("cannot read {}: {error}", key.display()))?;
    config.with_client_auth_cert(chain_of, private).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("{certificate} and {key} cannot be used together: {}", chain(&error))
    })
}
