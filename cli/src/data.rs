//! DATA: the folder in which `nearcast up` keeps what outlives it.
//!
//! In: the folder that its user names, the environment. Out: a folder that is there, or why not.
//! Always holds: nobody else can put a file into it, since what lies there is trusted: a ledger, the
//! first token, logs that are appended to. So without a home there is no default: a name in the
//! folder for temporary files is one that anybody can take first.
//! It does not know what is kept.
//! Clause: XDG Base Directory Specification *Basics*.

use std::{
    env, fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use crate::failure::Failure;

/// What everybody may do: write.
const WRITABLE_BY_ALL: u32 = 0o002;

/// DATA, made for its user alone where it is not there.
pub(crate) fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(data) = named.map(Path::to_path_buf).or_else(default) else {
        return Err(Failure::new(
            "neither XDG_STATE_HOME nor HOME names a folder, so there is none for the ledger and \
             its token",
        )
        .advise("name one with --data"));
    };
    let failed = |error| {
        Failure::new(format!("cannot make {}: {error}", data.display()))
            .advise("name another folder with --data")
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&data).map_err(failed)?;
    let found = fs::metadata(&data).map_err(failed)?;
    match trouble(found.uid(), found.mode(), geteuid().as_raw()) {
        None => Ok(data),
        Some(why) => Err(Failure::new(format!(
            "{} {why}, and the ledger and its token would be in their hands",
            data.display()
        ))
        .advise("name another folder with --data")),
    }
}

/// DATA when none is named: the user's state folder, if there is one. Relative paths are none.
pub(crate) fn default() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || absolute("HOME").map(|home| home.join(".local/state"));
    Some(absolute("XDG_STATE_HOME").or_else(home)?.join("nearcast"))
}

/// Who else could put files into a folder of `owner` with `mode`, seen by `user`.
fn trouble(owner: u32, mode: u32, user: u32) -> Option<&'static str> {
    if owner != user && owner != 0 {
        return Some("belongs to another user");
    }
    (mode & WRITABLE_BY_ALL != 0).then_some("can be written to by everybody")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_in_nobody_elses_hands() {
        let rows = [
            (1000, 0o040_700, 1000, true),
            // A user's own group.
            (1000, 0o040_775, 1000, true),
            (0, 0o040_755, 1000, true),
            (1000, 0o040_777, 1000, false),
            // The folder for temporary files itself.
            (0, 0o041_777, 1000, false),
            (1001, 0o040_700, 1000, false),
            // Another's folder is not safer for who may do everything.
            (1001, 0o040_755, 0, false),
        ];
        for (owner, mode, user, is_fine) in rows {
            assert_eq!(trouble(owner, mode, user).is_none(), is_fine, "{owner} {mode:o} {user}");
        }
    }
}
