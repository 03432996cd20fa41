use std::io::Write;
use std::path::{Path, PathBuf};

use bd_proto::Request;
use clap::Args;

use crate::server::{absolute, ask_brick, describe};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The brick directory
    dir: PathBuf,
}

impl Show {
    pub(super) fn run(self, socket: &Path) -> Result<Exit, CliError> {
        let dir = absolute(&self.dir)?;
        let info = ask_brick(socket, &Request::DescribeBrick { dir: dir.clone() })?;
        std::io::stdout().write_all(describe(&dir, &info).as_bytes())?;
        Ok(Exit::Done)
    }
}
