use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::CliError;

/// What every command may need to know.
#[derive(Debug, Args)]
pub(crate) struct Context {
    /// Socket of gluster-bdd [default: the variable GLUSTER_BDD_SOCKET, or
    /// /run/gluster-bd/gluster-bdd.sock]
    #[arg(long, global = true, value_name = "PATH", hide_default_value = true,
          default_value_os_t = bd_proto::socket_path())]
    pub(crate) socket: PathBuf,
    /// The host whose glusterd is asked for a volume
    #[arg(long, global = true, value_name = "HOST", default_value = "localhost")]
    pub(crate) remote_host: String,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// In script mode no question is asked; every one counts as answered with yes
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Mode::Interactive
    )]
    pub(crate) mode: Mode,
    /// Where libgfapi writes its log
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/var/log/glusterfs/gluster-bd.log"
    )]
    pub(crate) log_file: PathBuf,
}

/// Whether questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Questions are asked where bytes could be lost
    Interactive,
    /// No questions
    Script,
}

impl Context {
    /// Prints a result: as JSON if that was asked for, else as text.
    pub(crate) fn print<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, value).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        } else {
            out.write_all(text(value).as_bytes())?;
        }
        out.flush()?;
        Ok(())
    }

    /// Asks whether to go on. Where nobody can be asked, that is a refusal.
    pub(crate) fn confirm(&self, question: &str) -> Result<(), CliError> {
        if self.mode == Mode::Script {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(CliError::Refused(format!(
                "{question}: not done, as nobody can be asked here; use --force or --mode=script"
            )));
        }
        let mut out = std::io::stderr().lock();
        write!(out, "{question}. Go on? (y/n) ")?;
        out.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CliError::Refused(format!("{question}: not done"))),
        }
    }
}
