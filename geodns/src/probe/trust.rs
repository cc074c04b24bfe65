//! Whom HTTPS probes believe.
//!
//! In: certificate authorities, or the system's. Out: TLS configurations, with and without a look
//! at the certificate. Always holds: no session is taken up again; the system's authorities are
//! read once, and only if a check wants them.
//! It deliberately does not know which check wants what.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Whom probes believe.
#[derive(Debug, Default)]
pub struct Trust {
    roots: Option<Arc<RootCertStore>>,
    strict: OnceLock<Result<Arc<ClientConfig>, String>>,
    lax: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Trust {
    /// Believes the system's authorities.
    #[must_use]
    pub fn of_the_system() -> Arc<Self> {
        Arc::default()
    }

    /// Believes `roots`.
    #[must_use]
    pub fn of(roots: RootCertStore) -> Arc<Self> {
        Arc::new(Self { roots: Some(Arc::new(roots)), ..Self::default() })
    }

    /// What a TLS connection needs; `verify` as the check says.
    pub(super) fn config(&self, verify: bool) -> Result<Arc<ClientConfig>, String> {
        let kept = if verify { &self.strict } else { &self.lax };
        kept.get_or_init(|| self.make(verify)).clone()
    }

    fn make(&self, verify: bool) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config = if verify {
            builder.with_root_certificates(self.roots()?).with_no_client_auth()
        } else {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
                .with_no_client_auth()
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        if let Some(roots) = &self.roots {
            return Ok(Arc::clone(roots));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("the system has no certificate authorities; install ca-certificates, or \
                        check with verify = false"
                .to_owned());
        }
        Ok(Arc::new(roots))
    }
}

/// Accepts any certificate of whoever holds its key: whether an address answers is asked, not who
/// it is.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
