//! Writes the reports of config/refused/*.toml beside them. Read the difference before committing.
//!
//! In: every NAME.toml in config/refused. Out: NAME.txt, the report as `nearcast check` prints it.
//! Always: a file that is not refused is an error.
//! Does not know: what a report should say; who commits it does.
//! Clause: issue 2 *`nearcast check`* (refused files with their exact messages are tests).

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("refused"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Err(report) = nearcast_config::parse(&fs::read_to_string(&path)?, &name) else {
                return Err(io::Error::other(format!("{name} is not refused")));
            };
            fs::write(path.with_extension("txt"), format!("{report}\n"))?;
        }
    }
    Ok(())
}
