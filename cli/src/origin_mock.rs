//! `nearcast origin-mock`: an origin that misbehaves on request.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::SystemTime};

use clap::Args;
use nearcast_daemon::signals::{Event, Signals};
use origin_mock::{
    clock::Clock,
    demo,
    files::{Files, FilesSettings},
    origin::{Origin, Settings},
    script::Script,
};
use tokio::net::TcpListener;

use crate::{failure::Failure, say::say};

/// The command line of `origin-mock`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The script, a JSON file; without one the demo site is served.
    #[arg(long, value_name = "FILE", conflicts_with = "root")]
    script: Option<PathBuf>,
    /// Serves the files below this folder, well-behaved.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Switches the control route /.mock/ off.
    #[arg(long)]
    no_control: bool,
    /// Says where it listens as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// The wall clock, for the Date of what the mock sends.
pub(crate) fn wall_clock() -> Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the mock is another machine's origin: it has a wall clock of its own"
    )]
    Arc::new(SystemTime::now)
}

/// Serves until a signal ends it.
pub(crate) fn origin_mock(arguments: &Arguments) -> Result<(), Failure> {
    let origin = origin(arguments)?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::of(&error))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
            Failure::new(format!("cannot listen on {}: {error}", arguments.listen))
                .advise("choose another address with --listen (port 0 for any)")
        })?;
        let mut signals = Signals::install().map_err(|error| Failure::of(&error))?;
        let handle = origin.listen(listener).map_err(|error| Failure::of(&error))?;
        let said = say(&if arguments.json {
            serde_json::json!({ "listen": handle.addr() }).to_string()
        } else {
            format!("http://{}", handle.addr())
        });
        while said.is_ok() {
            match signals.next().await {
                // There is no file to read again, so a terminal that closes ends it.
                Event::Drain | Event::Stop | Event::Reload => break,
                Event::ReopenLogs => {}
            }
        }
        handle.shutdown().await;
        said
    })
}

fn origin(arguments: &Arguments) -> Result<Origin, Failure> {
    let mut settings = if arguments.script.is_some() || arguments.root.is_none() {
        Settings::default()
    } else {
        Settings::serving()
    };
    if arguments.no_control {
        settings.control = false;
    }
    if let Some(root) = &arguments.root {
        return files(root, settings);
    }
    let script = match &arguments.script {
        Some(path) => {
            let text = fs::read(path).map_err(|error| {
                Failure::new(format!("cannot read {}: {error}", path.display()))
                    .advise("name a script that can be read with --script")
            })?;
            Script::parse(&text).map_err(|error| {
                Failure::new(format!("{}: {}", path.display(), crate::failure::chain(&error)))
                    .advise("origin-mock/examples/misbehaving.json shows what a script may say")
            })?
        }
        None => demo::script(),
    };
    Origin::scripted(script, wall_clock(), settings).map_err(|error| Failure::of(&error))
}

/// An origin of the files below `root`.
pub(crate) fn files(root: &std::path::Path, settings: Settings) -> Result<Origin, Failure> {
    let files = Files::new(root, FilesSettings::default()).map_err(|error| {
        Failure::new(format!("cannot serve {}: {error}", root.display()))
            .advise("name a folder that can be read with --root")
    })?;
    Ok(Origin::files(files, wall_clock(), settings))
}
