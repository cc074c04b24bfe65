//! Writes the reports of config/refused/*.toml beside them. Read the difference before committing.
//!
//! In: every NAME.toml in config/refused. Out: NAME.txt, the report as `nearcast check` prints it.
//! Always: a file that is not refused is an error.
//! Does not know: what a report should say; who commits it does.
//! Clause: CONTRIBUTING.md *Errors* (what the operator gets).

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("refused");
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let Err(report) = nearcast_config::load(&path) else {
                return Err(io::Error::other(format!("{} is not refused", path.display())));
            };
            let text = format!("{report}\n").replace(&format!("{}/", folder.display()), "");
            fs::write(path.with_extension("txt"), text)?;
        }
    }
    Ok(())
}
