//! One probe of one address: connect, perhaps TLS, perhaps one request.
//!
//! In: `[[geodns.check]]`, an address. Out: what it [`Passed`] with, or the [`Fault`] that it failed
//! with.
//! Always holds: a probe is one connection of its own, closed when the answer's head is there, and
//! no TLS session is taken up again, so that a probe shows what a new client would see; it ends
//! within the check's timeout, whatever the other side does; the content of an answer is not read.
//! It deliberately does not know how often it is run, or what follows.
//!
//! A TCP check sees no further than the kernel, which accepts connections for a process that has
//! stopped: only HTTP and HTTPS checks tell that nobody is there.
//!
//! RFC 9110 §9.3.1, §9.3.2; RFC 9112.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use geodns_core::{
    health::report,
    problem::Problem,
    settings::{CheckKind, CheckMethod, CheckSettings},
    standing::PerMille,
};
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::trust::Trust;

/// The largest head of an answer.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Who asks.
const USER_AGENT: &str = concat!("nearcast-probe/", env!("CARGO_PKG_VERSION"));

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// There is no connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// TLS could not be agreed on, or its certificate is not accepted.
    #[error("TLS: {0}")]
    Tls(String),
    /// What came is no answer.
    #[error("no HTTP answer: {0}")]
    Http(String),
    /// The answer is none that passes.
    #[error("status {0}")]
    Status(u16),
    /// The probe itself broke: our fault, and no sign that the address works.
    #[error("the probe broke off")]
    Broken,
    /// This node has not what a probe takes: that says nothing of the address.
    #[error("this node cannot probe: {0}")]
    Local(String),
}

/// Probes addresses; tests bring their own.
pub trait Attempt: Send + Sync {
    /// One probe; it ends within the check's timeout.
    fn attempt(&self, address: IpAddr, check: &CheckSettings) -> BoxFuture<'static, Outcome>;
}

/// What a probe comes to.
pub type Outcome = Result<Passed, Fault>;

/// What a probe that passed has heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// How full the address says it is, where the check asks.
    pub load: Option<PerMille>,
}

/// Probes over the network.
#[derive(Clone)]
pub struct Network {
    trust: Arc<Trust>,
}

impl Network {
    /// Probes that trust `trust`, where a check asks for trust.
    #[must_use]
    pub fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }
}

impl Attempt for Network {
    fn attempt(&self, address: IpAddr, check: &CheckSettings) -> BoxFuture<'static, Outcome> {
        let (trust, check) = (Arc::clone(&self.trust), check.clone());
        Box::pin(async move {
            let probe = run(&trust, SocketAddr::new(address, check.port), &check);
            timeout(check.timeout, probe).await.unwrap_or(Err(Fault::Timeout(check.timeout)))
        })
    }
}

/// What is wrong with checks, beyond their bounds: that no request could be made of them.
#[must_use]
pub fn problems(checks: &[CheckSettings]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, check) in checks.iter().enumerate() {
        let mut not = |key: &str, value: &str, allowed: &str| {
            let at = format!("check[{index}].{key}");
            problems.push(Problem { at, message: format!("\"{value}\" is not {allowed}") });
        };
        if !check.path.starts_with('/') || check.path.parse::<Uri>().is_err() {
            not("path", &check.path, "a path that begins with \"/\"");
        }
        if let Some(host) = &check.host
            && (HeaderValue::from_str(host).is_err() || name(host).is_none())
        {
            not("host", host, "a host name or an address");
        }
        for status in check.status.iter().filter(|status| !(100..=599).contains(*status)) {
            not("status", &status.to_string(), "a status from 100 to 599");
        }
    }
    problems
}

async fn run(trust: &Trust, address: SocketAddr, check: &CheckSettings) -> Outcome {
    let connect = TcpStream::connect(address).await;
    let stream = connect.map_err(|error| unconnected(&error, address))?;
    match check.kind {
        CheckKind::Tcp => Ok(Passed::default()),
        CheckKind::Http => exchange(stream, address, check).await,
        CheckKind::Https => {
            let config = trust.config(check.verify).map_err(Fault::Tls)?;
            let host = check.host.clone().unwrap_or_else(|| address.ip().to_string());
            let name = name(&host).ok_or_else(|| Fault::Tls(format!("{host} is no name")))?;
            let stream = TlsConnector::from(config).connect(name, stream).await;
            let stream = stream.map_err(|error| Fault::Tls(told(&error)))?;
            exchange(stream, address, check).await
        }
    }
}

/// Why there is no connection: for want of descriptors, ports or memory of our own, or for good.
fn unconnected(error: &io::Error, address: SocketAddr) -> Fault {
    let is_local = match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => true,
        // Over IPv4 it is a want of ports, which passes. A machine without IPv6 says the same to each
        // address of that family, and always will: then nobody there is reached from here.
        Some(Errno::ADDRNOTAVAIL) => address.is_ipv4(),
        Some(_) | None => false,
    };
    if is_local { Fault::Local(told(error)) } else { Fault::Connect(told(error)) }
}

/// One request, and the head of its answer.
async fn exchange<S>(stream: S, address: SocketAddr, check: &CheckSettings) -> Outcome
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |error: hyper::Error| Fault::Http(told(&error));
    let request = request(address, check).ok_or(Fault::Broken)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The answer knows how the connection ended.
        _ = &mut connection => answer.await,
    };
    let answer = answer.map_err(broken)?;
    let status = answer.status().as_u16();
    if !check.status.contains(&status) {
        return Err(Fault::Status(status));
    }
    let field = answer.headers().get(report::FIELD).filter(|_| check.load);
    let load = field.and_then(|field| field.to_str().ok()).and_then(report::load);
    Ok(Passed { load })
}

fn request(address: SocketAddr, check: &CheckSettings) -> Option<Request<Empty<Bytes>>> {
    let host = check.host.clone().unwrap_or_else(|| address.to_string());
    let method = match check.method {
        CheckMethod::Get => Method::GET,
        CheckMethod::Head => Method::HEAD,
    };
    Request::builder()
        .method(method)
        .uri(check.path.as_str())
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        // The answer must come from where it is asked for, not from a cache on the way there.
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .ok()
}

/// The name that TLS asks for: a host as typed, without a port.
fn name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).ok()
}

/// The last of an error's reasons, which is the one that helps.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_node_lacks_is_no_fault_of_the_address() {
        let rows = [
            (Errno::MFILE, true, true),
            (Errno::NFILE, true, true),
            (Errno::NOBUFS, true, true),
            (Errno::NOMEM, true, true),
            // No port is free; but where IPv6 is switched off, every address says this.
            (Errno::ADDRNOTAVAIL, true, false),
            (Errno::CONNREFUSED, false, false),
            (Errno::CONNRESET, false, false),
            (Errno::NETUNREACH, false, false),
            (Errno::HOSTUNREACH, false, false),
            (Errno::TIMEDOUT, false, false),
        ];
        for (errno, over_v4, over_v6) in rows {
            for (address, is_local) in [("192.0.2.1:80", over_v4), ("[2001:db8::1]:80", over_v6)] {
                let fault = unconnected(&errno.into(), address.parse().unwrap());
                assert_eq!(matches!(fault, Fault::Local(_)), is_local, "{address}: {fault}");
            }
        }
    }
}
