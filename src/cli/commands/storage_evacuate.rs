use bd_proto::{Reply, Request};
use clap::Args;

use crate::context::Context;
use crate::server::{ask, out_of_turn};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct StorageEvacuate {
    /// The disk; a brick of this host uses its volume group
    #[arg(value_name = "DEV")]
    device: String,
}

impl StorageEvacuate {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let request = Request::Evacuate {
            device: self.device,
        };
        let job = match ask(&context.socket, &request)? {
            Reply::Job(job) => job,
            other => return Err(out_of_turn(&other)),
        };
        context.print(&job, |job| {
            format!(
                "job {0}, {1} of {2}: {3}; see: gluster-bd job wait {0}\n",
                job.id, job.kind, job.name, job.state
            )
        })?;
        Ok(Exit::Done)
    }
}
