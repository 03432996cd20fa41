use clap::Args;

use crate::context::Context;
use crate::job::{describe, jobs, select};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct JobShow {
    /// The job
    #[arg(value_name = "ID")]
    id: u64,
}

impl JobShow {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        for job in select(jobs(context)?, &[self.id])? {
            context.print(&job, describe)?;
        }
        Ok(Exit::Done)
    }
}
