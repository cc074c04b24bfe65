//! The files that `[geodns]` names beside its zones: databases, networks, certificates, secrets.
//!
//! In: the settings, the disk. Out: what the files hold as far as `config` hands it on, findings.
//! Always: nothing but regular files is opened, no more of one is read than a limit says, and no
//! message says a secret.
//! Does not know: how clients are found in a database; it only looks whether it is one.
//! Clause: RFC 7468 (certificates and keys in PEM).

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use geodns_core::{
    locate::database::Database,
    settings::{CookieSecret, GeodnsSettings, QueryTarget},
    wire::cookie::Secrets,
};
use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::Given;
use crate::{
    check::{Elsewhere, Findings},
    compose::Files,
    kind::Complaint,
    named, tree,
};

/// The largest file of secrets or PEM that is read.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;

/// Checks the files, and hands on the secrets, wherever they stand.
pub(super) fn check(
    given: &Given<'_, '_>,
    settings: &GeodnsSettings,
    findings: &mut Findings,
) -> Option<Secrets> {
    let mut secrets = settings.cookies.secrets.clone();
    if given.files == Files::Looked {
        let geo = &settings.geo;
        let supplements = (0..).map(|at| tree::item("geodns.geo.supplements", at));
        let databases = geo.database.iter().map(|path| ("geodns.geo.database".to_owned(), path));
        for (key, path) in databases.chain(supplements.zip(&geo.supplements)) {
            let most = settings.limits.database_bytes_max.0;
            let read = bytes(&given.base.join(path), most).and_then(|bytes| database(path, &bytes));
            tell(given, &key, path, read, findings);
        }
        let tls = &settings.tls;
        if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
            certified(given, certificate, key, findings);
        }
        if let Some(file) = &settings.cookies.secrets_file {
            secrets.extend(secrets_file(given, file, findings));
        }
        if let QueryTarget::Path(path) = &settings.query_log.target {
            named::log_file(given.root, given.base, "geodns.query_log.target", path, findings);
        }
    }
    CookieSecret::keys(&secrets)
}

/// A file as messages name it.
pub(super) fn shown(base: &Path, file: &Path) -> String {
    let path = if base == Path::new(".") { file.to_path_buf() } else { base.join(file) };
    crate::problem::harmless(&path.display().to_string())
}

/// The text of a file that `key` names.
pub(super) fn text(
    given: &Given<'_, '_>,
    key: &str,
    file: &Path,
    most: u64,
    findings: &mut Findings,
) -> Option<String> {
    let read = bytes(&given.base.join(file), most).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_error| Complaint::new("not UTF-8", "text in UTF-8"))
    });
    match read {
        Ok(text) => Some(text),
        Err(complaint) => {
            tell(given, key, file, Err(complaint), findings);
            None
        }
    }
}

/// The bytes of a regular file, no more than `most`.
fn bytes(path: &Path, most: u64) -> Result<Vec<u8>, Complaint> {
    read(path, most).map_err(|error| {
        Complaint::new(format!("cannot be read: {error}"), "a file that this user may read")
    })
}

/// The bytes of a regular file, no more than `most`.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    named::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        return Ok(bytes);
    }
    let text = crate::cross::size_text(bytesize::ByteSize(most));
    Err(io::Error::other(format!("larger than {text}")))
}

fn tell(
    given: &Given<'_, '_>,
    key: &str,
    file: &Path,
    read: Result<(), Complaint>,
    findings: &mut Findings,
) {
    named::tell(given.root, key, &given.base.join(file), read, findings);
}

fn database(file: &Path, bytes: &[u8]) -> Result<(), Complaint> {
    match Database::open(&file.display().to_string(), bytes) {
        Ok(_) => Ok(()),
        Err(_fault) => Err(Complaint::new("not a database that can be used", "an mmdb file")),
    }
}

/// A certificate and its own key.
fn certified(given: &Given<'_, '_>, certificate: &Path, key: &Path, findings: &mut Findings) {
    for file in [certificate, key] {
        findings.reads(&given.base.join(file));
    }
    let pem = |file: &Path| bytes(&given.base.join(file), SMALL_BYTES_MAX);
    let chain = pem(certificate).and_then(|bytes| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let allowed = "a PEM file with at least one CERTIFICATE, each of them whole";
        match chain {
            Ok(chain) if chain.is_empty() => Err(Complaint::new("holds no certificate", allowed)),
            Ok(chain) => Ok(chain),
            Err(_fault) => Err(Complaint::new("holds broken PEM", allowed)),
        }
    });
    let private = pem(key).and_then(|bytes| {
        let allowed = "a PEM file with one PRIVATE KEY";
        PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_fault| Complaint::new("holds no private key", allowed))
    });
    let (chain, private) = match (chain, private) {
        (Ok(chain), Ok(private)) => (chain, private),
        (chain, private) => {
            tell(given, "geodns.tls.certificate", certificate, chain.map(drop), findings);
            tell(given, "geodns.tls.key", key, private.map(drop), findings);
            return;
        }
    };
    let pair = CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider());
    let read = match pair {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(Complaint::new("not the key of geodns.tls.certificate", "the key of its first one"))
        }
        Err(_fault) => Err(Complaint::new(
            "cannot be used with geodns.tls.certificate",
            "the key of its first one: ECDSA, Ed25519, or RSA of 2048 bits and more",
        )),
    };
    tell(given, "geodns.tls.key", key, read, findings);
}

/// One or two secrets, one on a line; `#` opens a comment.
fn secrets_file(given: &Given<'_, '_>, file: &Path, findings: &mut Findings) -> Vec<CookieSecret> {
    let key = "geodns.cookies.secrets_file";
    findings.reads(&given.base.join(file));
    let Some(text) = text(given, key, file, SMALL_BYTES_MAX, findings) else { return Vec::new() };
    let mut secrets: Vec<CookieSecret> = Vec::new();
    let node = tree::nearest(given.root, key);
    for (line, number) in text.lines().zip(1_u32..) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let allowed = "one or two lines, each of 32 hexadecimal digits";
        let fault = match CookieSecret::parse(line) {
            _ if line.is_empty() => continue,
            None => "not a cookie secret",
            Some(secret) if secrets.contains(&secret) => "the same secret as the first",
            Some(_) if secrets.len() >= 2 => "a third secret",
            Some(secret) => {
                secrets.push(secret);
                continue;
            }
        };
        let place = Elsewhere { file: shown(given.base, file), line: number };
        findings.wrong_elsewhere(key, node, place, Complaint::new(fault, allowed));
        if fault == "a third secret" {
            break;
        }
    }
    if secrets.is_empty() && findings.none_within(key) {
        let complaint = Complaint::new("holds no secret", "at least one of 32 hexadecimal digits");
        tell(given, key, file, Err(complaint), findings);
    }
    secrets
}

/// The real path of the folder that a file lies in.
pub(super) fn real_folder(path: &Path) -> io::Result<PathBuf> {
    let real = fs::canonicalize(path)?;
    Ok(real.parent().map(Path::to_path_buf).unwrap_or_default())
}
