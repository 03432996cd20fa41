use bd_proto::{JobInfo, JobOrder, Reply, Request};
use clap::Args;

use crate::context::Context;
use crate::server::{ask, out_of_turn};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct JobIds {
    /// The jobs
    #[arg(value_name = "ID", required = true)]
    ids: Vec<u64>,
}

impl JobIds {
    /// Changes all of them, and prints how they are then.
    pub(super) fn order(self, context: &Context, order: JobOrder) -> Result<Exit, CliError> {
        let mut changed: Vec<JobInfo> = Vec::new();
        let mut failed = None;
        for id in self.ids {
            match ask(&context.socket, &Request::OrderJob { id, order }) {
                Ok(Reply::Job(job)) => changed.push(job),
                Ok(other) => failed = Some(out_of_turn(&other)),
                Err(error) => failed = Some(error),
            }
            if failed.is_some() {
                break;
            }
        }
        // What was changed before a failure is told all the same.
        if failed.is_none() || !changed.is_empty() {
            context.print(&changed, |changed| {
                let line = |job: &JobInfo| {
                    format!(
                        "job {}, {} of {}: {}\n",
                        job.id, job.kind, job.name, job.state
                    )
                };
                changed.iter().map(line).collect()
            })?;
        }
        failed.map_or(Ok(Exit::Done), Err)
    }
}
