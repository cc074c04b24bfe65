//! Where the programs are that the tests start.
//!
//! In: names. Out: paths. Always holds: what is missing is an error that says how to get it.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::Tested;

/// The built program: NEARCAST_BIN, or the one beside the running test.
///
/// # Errors
/// When it has not been built.
pub fn nearcast() -> Tested<PathBuf> {
    let built = match env::var_os("NEARCAST_BIN") {
        Some(path) => PathBuf::from(path),
        None => profile()?.join("nearcast"),
    };
    if built.is_file() {
        return Ok(built);
    }
    let path = built.display();
    Err(format!("{path} is not there; build it with `cargo build --package nearcast`").into())
}

/// A program on PATH, or where Debian keeps what only root usually starts.
///
/// # Errors
/// When it is not installed.
pub fn tool(name: &str) -> Tested<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("{name} is not installed; run `tests/run --install`").into())
}

/// What lets a process live at another time: the preloaded part of `faketime`.
///
/// # Errors
/// When it is not installed.
pub fn fake_time() -> Tested<PathBuf> {
    // Where it is, is its package's affair; that it is there, the tool tells.
    tool("faketime")?;
    let own = format!("/usr/lib/{}-linux-gnu/faketime/libfaketimeMT.so.1", env::consts::ARCH);
    let library = PathBuf::from(own);
    if library.is_file() {
        return Ok(library);
    }
    Err(format!("no {}; run `tests/run --install`", library.display()).into())
}

/// The folder of the real packages' files.
///
/// # Errors
/// When they have not been fetched.
pub fn packages() -> Tested<PathBuf> {
    let target = profile()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let packages = target.join("packages");
    if packages.join("bootstrap").is_dir() {
        return Ok(packages);
    }
    let path = packages.display();
    Err(format!("no packages in {path}; run `tests/run --install`").into())
}

/// A database of cities, as operators have it.
///
/// # Errors
/// When it has not been fetched.
pub fn geo_database() -> Tested<PathBuf> {
    let target = profile()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let database = target.join("geo/GeoLite2-City.mmdb");
    if database.is_file() {
        return Ok(database);
    }
    Err(format!("no {}; run `tests/run --install`", database.display()).into())
}

/// rclone, which serves buckets.
///
/// # Errors
/// When it has not been fetched.
pub fn rclone() -> Tested<PathBuf> {
    fetched("rclone/bin/rclone")
}

/// schemathesis, which fuzzes an API by its description.
///
/// # Errors
/// When it has not been fetched.
pub fn schemathesis() -> Tested<PathBuf> {
    fetched("schemathesis/bin/schemathesis")
}

/// The version of nats-server that durability is claimed for.
///
/// # Errors
/// When it has not been fetched.
pub fn nats_server() -> Tested<PathBuf> {
    fetched("nats/bin/nats-server")
}

/// What `tests/run` fetches into the target folder.
fn fetched(program: &str) -> Tested<PathBuf> {
    let target = profile()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let program = target.join(program);
    if program.is_file() {
        return Ok(program);
    }
    Err(format!("no {}; run `tests/run --install`", program.display()).into())
}

/// `<target>/<profile>`: a test runs as `<target>/<profile>/deps/<name>`.
fn profile() -> Tested<PathBuf> {
    let own = env::current_exe()?;
    let profile = own.ancestors().nth(2).ok_or("a test without a target folder")?;
    Ok(profile.to_path_buf())
}
