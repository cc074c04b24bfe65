//! The files that settings name: whether they are there and hold what they must.
//!
//! In: the tree, and the sections that were sound. Out: findings, at the keys that name a file.
//! Always: what passes here is not refused by the process for what the file holds, so that `check`
//! and `run` say the same; nothing is written, and nothing but regular files is opened.
//! Does not know: who will run the node, so it cannot tell whether that user may write the log.
//! Clause: RFC 7468 (certificates in PEM).

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use edge_core::{settings::SiteSettings, site::BucketKey};
use nearcast_control::settings::ControlSettings;
use nearcast_daemon::settings::{AccessTarget, LogSettings};
use rustls::{RootCertStore, crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::{
    check::Findings,
    kind::Complaint,
    problem::harmless,
    tree::{self, Node},
};

/// Opens a regular file. To open anything else may wait for ever, as a FIFO does for its writer.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}

/// The certificates of each site: the authorities that it trusts, and its own.
pub(crate) fn sites(
    root: &Node<'_>,
    base: &Path,
    sites: &[Option<SiteSettings>],
    findings: &mut Findings,
) {
    for (at, site) in sites.iter().enumerate() {
        let Some(origin) = site.as_ref().map(|site| &site.origin) else { continue };
        let key = |name: &str| format!("{}.origin.{name}", tree::item("site", at));
        if let Some(ca) = &origin.ca {
            let path = base.join(ca);
            findings.reads(&path);
            let complaint = read(&path).and_then(|()| authorities(&path));
            tell(root, &key("ca"), &path, complaint, findings);
        }
        if let Some(bucket) = &origin.bucket {
            let path = base.join(&bucket.credentials);
            findings.reads(&path);
            tell(root, &key("bucket.credentials"), &path, credentials(&path), findings);
        }
        if let (Some(certificate), Some(private)) = (&origin.certificate, &origin.key) {
            let paths = (base.join(certificate), base.join(private));
            identity(root, (&key("certificate"), &key("key")), paths, findings);
        }
    }
}

/// Whether a file can be read at all.
fn read(path: &Path) -> Result<(), Complaint> {
    open(path).map(drop).map_err(|error| {
        Complaint::new(format!("cannot be read: {error}"), "a file that this user may read")
    })
}

/// The key of a bucket.
fn credentials(path: &Path) -> Result<(), Complaint> {
    let allowed = "lines aws_access_key_id = ... and aws_secret_access_key = ...";
    read(path)?;
    let text = fs::read_to_string(path)
        .map_err(|error| Complaint::new(format!("cannot be read: {error}"), allowed))?;
    BucketKey::parse(&text).map(drop).map_err(|fault| Complaint::new(fault, allowed))
}

/// A certificate and its own key.
fn identity(
    root: &Node<'_>,
    (certificate, key): (&str, &str),
    (certificate_path, key_path): (PathBuf, PathBuf),
    findings: &mut Findings,
) {
    findings.reads(&certificate_path);
    findings.reads(&key_path);
    let wrong = |fault: &str, allowed: &str| Complaint::new(fault, allowed);
    let chain = read(&certificate_path).and_then(|()| {
        let chain = CertificateDer::pem_file_iter(&certificate_path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let allowed = "a PEM file with at least one CERTIFICATE, each of them whole";
        match chain {
            Ok(chain) if chain.is_empty() => Err(wrong("holds no certificate", allowed)),
            Ok(chain) => Ok(chain),
            Err(_fault) => Err(wrong("holds broken PEM", allowed)),
        }
    });
    let private = read(&key_path).and_then(|()| {
        PrivateKeyDer::from_pem_file(&key_path)
            .map_err(|_fault| wrong("holds no private key", "a PEM file with one PRIVATE KEY"))
    });
    let (chain, private) = match (chain, private) {
        (Ok(chain), Ok(private)) => (chain, private),
        (chain, private) => {
            tell(root, certificate, &certificate_path, chain.map(drop), findings);
            tell(root, key, &key_path, private.map(drop), findings);
            return;
        }
    };
    let fits = match CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(wrong("not the key of `certificate`", "the key of its first one"))
        }
        Err(_fault) => Err(wrong(
            "cannot be used with `certificate`",
            "the key of its first one: ECDSA, Ed25519, or RSA of 2048 bits and more",
        )),
    };
    tell(root, key, &key_path, fits, findings);
}

/// As the origin side reads them: all must be usable, and one at least must be there.
fn authorities(path: &Path) -> Result<(), Complaint> {
    let wrong = |fault: &str| {
        let allowed = "a PEM file with at least one CERTIFICATE, each of them whole";
        Err(Complaint::new(fault, allowed))
    };
    let certificates =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let Ok(certificates) = certificates else { return wrong("holds broken PEM") };
    match RootCertStore::empty().add_parsable_certificates(certificates) {
        (0, 0) => wrong("holds no certificate"),
        (_, 0) => Ok(()),
        _ => wrong("holds a broken certificate"),
    }
}

/// The access log is made where it is not there; its folder is not.
pub(crate) fn log(root: &Node<'_>, base: &Path, log: &LogSettings, findings: &mut Findings) {
    if let AccessTarget::Path(path) = &log.access {
        log_file(root, base, "log.access", path, findings);
    }
}

/// The ledger is made where it is not there; its folder is not. What a ledger elsewhere is reached
/// with must be there.
pub(crate) fn ledger(
    root: &Node<'_>,
    base: &Path,
    control: &ControlSettings,
    findings: &mut Findings,
) {
    if let Some(path) = &control.embedded {
        log_file(root, base, "control.embedded", path, findings);
    }
    let Some(nats) = &control.nats else { return };
    let key = |name: &str| format!("control.nats.{name}");
    let folder = base.join(&nats.folder);
    let is_there = folder.is_dir();
    let missing =
        || Complaint::new("there is no such folder", "the path of a folder that there is");
    tell(root, &key("folder"), &folder, is_there.then_some(()).ok_or_else(missing), findings);
    if let Some(path) = nats.credentials.as_ref().map(|path| base.join(path)) {
        tell(root, &key("credentials"), &path, read(&path), findings);
    }
    if let Some(path) = nats.ca.as_ref().map(|path| base.join(path)) {
        let complaint = read(&path).and_then(|()| authorities(&path));
        tell(root, &key("ca"), &path, complaint, findings);
    }
    if let (Some(certificate), Some(private)) = (&nats.certificate, &nats.key) {
        let paths = (base.join(certificate), base.join(private));
        identity(root, (&key("certificate"), &key("key")), paths, findings);
    }
}

/// A file that `key` names, and that is made where it is not there.
pub(crate) fn log_file(
    root: &Node<'_>,
    base: &Path,
    key: &str,
    path: &Path,
    findings: &mut Findings,
) {
    let path = base.join(path);
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder_is_there = folder.is_none_or(Path::is_dir);
    let complaint = match (folder_is_there, path.is_dir()) {
        (true, false) => Ok(()),
        (true, true) => Err(Complaint::new("a folder", "the path of a file or FIFO")),
        (false, _) => {
            Err(Complaint::new("its folder is not there", "a path in a folder that there is"))
        }
    };
    tell(root, key, &path, complaint, findings);
}

/// Notes what was found wrong with the file at `path`, which `key` names.
pub(crate) fn tell(
    root: &Node<'_>,
    key: &str,
    path: &Path,
    complaint: Result<(), Complaint>,
    findings: &mut Findings,
) {
    if let (Err(complaint), Some(node)) = (complaint, tree::find(root, key)) {
        findings.wrong(
            key,
            node,
            complaint.advising(format!("looked for {}", harmless(&path.display().to_string()))),
        );
    }
}
