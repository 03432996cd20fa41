use std::path::PathBuf;

use bd_proto::Request;
use clap::Args;

use crate::context::Context;
use crate::server::{BrickReport, absolute, ask_brick};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The brick directory
    dir: PathBuf,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let dir = absolute(&self.dir)?;
        let info = ask_brick(
            &context.socket,
            &Request::DescribeBrick { dir: dir.clone() },
        )?;
        context.print(&BrickReport::new(&dir, info), BrickReport::describe)?;
        Ok(Exit::Done)
    }
}
