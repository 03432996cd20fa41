use bd_proto::{JobInfo, JobState};
use clap::Args;

use crate::context::Context;
use crate::job::{duration, jobs, percent, rate, seconds_left};
use crate::table::table;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct JobList {
    /// Only jobs that are not over
    #[arg(long)]
    active: bool,
}

impl JobList {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let mut found = jobs(context)?;
        if self.active {
            found.retain(|job| !job.state.is_over());
        }
        context.print(&found, |found| {
            let rows: Vec<Vec<String>> = found.iter().map(row).collect();
            let heading = ["ID", "KIND", "OF", "STATE", "DONE", "TOTAL", "RATE", "LEFT"];
            let mut text = table(&heading, &[0, 4, 5, 6, 7], &rows);
            for job in found.iter().filter(|job| is_worth_a_word(job)) {
                if let Some(reason) = &job.reason {
                    text.push_str(&format!("job {}: {reason}\n", job.id));
                }
            }
            text
        })?;
        Ok(Exit::Done)
    }
}

/// Why it waits or has failed is told below the table.
fn is_worth_a_word(job: &JobInfo) -> bool {
    matches!(
        job.state,
        JobState::Queued | JobState::Paused | JobState::Failed
    )
}

fn row(job: &JobInfo) -> Vec<String> {
    let none = || "-".to_owned();
    let is_known = job.rate.0 > 0;
    vec![
        job.id.to_string(),
        job.kind.to_string(),
        job.name.clone(),
        job.state.to_string(),
        percent(job).map_or_else(none, |percent| format!("{percent}%")),
        job.total.map_or_else(none, |total| total.to_string()),
        Some(job.rate).filter(|_| is_known).map_or_else(none, rate),
        seconds_left(job).map_or_else(none, duration),
    ]
}
