use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        let mut text = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut Arguments::command(),
            "gluster-bd",
            &mut text,
        );
        std::io::stdout().write_all(&text)?;
        Ok(Exit::Done)
    }
}
