//! TLS towards origin servers.
//!
//! In: what a site says of it, a byte stream. Out: the stream inside a session, and the protocol
//! that was agreed on.
//! Always holds: a server's certificate is checked against the name that is asked for (RFC 9110
//! §4.3.4) and the authorities that the site trusts; sessions are resumed where a server lets them
//! (RFC 8446 §2.2), within one plan only, so that none outlives the files it was made of.
//! It knows no addresses and no HTTP.

use std::{io, path::Path, sync::Arc, time::Duration};

use edge_core::{
    settings::OriginProtocol,
    site::{OriginPlan, ServerAddress},
};
use nearcast_daemon::files::Print;
use parking_lot::Mutex;
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    client::{ClientConnection, WantsClientCert},
    pki_types::ServerName,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::{FetchError, chain, connect::BoxedIo, io_reason};

/// How long the system's authorities are taken for what they were.
const SYSTEM_READ_AGAIN: Duration = Duration::from_secs(60);
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
fn authorities(ca: Option<&Path>) -> Result<Arc<RootCertStore>, String> {
    static SYSTEM: Mutex<Option<System>> = Mutex::new(None);
    let Some(path) = ca else {
        return System::of(&mut SYSTEM.lock(), || {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        });
    };
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(certificates(path)?);
    if added == 0 || ignored > 0 {
        return Err(format!(
            "{} holds {added} usable certificates and {ignored} unusable ones",
            path.display()
        ));
    }
    Ok(Arc::new(roots))
}

/// The system's authorities, of which all sites share one copy: reading them takes some 20 ms, and
/// each copy 0.2 MB.
struct System {
    roots: Arc<RootCertStore>,
    read_at: Instant,
}

impl System {
    /// Those that were read of late, else those that `read` finds.
    fn of(
        kept: &mut Option<Self>,
        read: impl FnOnce() -> RootCertStore,
    ) -> Result<Arc<RootCertStore>, String> {
        if let Some(kept) = kept
            && kept.read_at.elapsed() < SYSTEM_READ_AGAIN
        {
            return Ok(Arc::clone(&kept.roots));
        }
        let read_at = Instant::now();
        let roots = read();
        if roots.is_empty() {
            return Err("the system has no certificate authorities; install ca-certificates or \
                        name a file with `ca`"
                .to_owned());
        }
        let same = kept.as_ref().filter(|kept| kept.roots.roots == roots.roots);
        let roots = same.map_or_else(|| Arc::new(roots), |kept| Arc::clone(&kept.roots));
        *kept = Some(Self { roots: Arc::clone(&roots), read_at });
        Ok(roots)
    }
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

#[cfg(test)]
mod tests {
    use rustls_pki_types::{Der, TrustAnchor};
    use tokio::time::advance;

    use super::*;

    fn roots(names: &[&'static str]) -> RootCertStore {
        let anchor = |name: &&'static str| TrustAnchor {
            subject: Der::from_slice(name.as_bytes()),
            subject_public_key_info: Der::from_slice(b"key"),
            name_constraints: None,
        };
        RootCertStore { roots: names.iter().map(anchor).collect() }
    }

    #[tokio::test(start_paused = true)]
    async fn the_systems_authorities_are_one_copy_that_is_read_again_in_time() {
        let mut kept = None;
        assert!(System::of(&mut kept, || roots(&[])).is_err() && kept.is_none());
        let first = System::of(&mut kept, || roots(&["a"])).unwrap();
        let again = System::of(&mut kept, || unreachable!("they were just read")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        advance(SYSTEM_READ_AGAIN).await;
        let same = System::of(&mut kept, || roots(&["a"])).unwrap();
        assert!(Arc::ptr_eq(&first, &same), "what has not changed is one copy still");
        assert!(Arc::ptr_eq(&first, &System::of(&mut kept, || roots(&["b"])).unwrap()));
        advance(SYSTEM_READ_AGAIN).await;
        let newer = System::of(&mut kept, || roots(&["a", "b"])).unwrap();
        assert_eq!(newer.roots.len(), 2);
        advance(SYSTEM_READ_AGAIN).await;
        assert!(System::of(&mut kept, || roots(&[])).is_err());
    }
}
