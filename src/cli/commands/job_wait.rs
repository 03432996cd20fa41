use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bd_proto::{JobInfo, JobState};
use clap::Args;

use crate::context::Context;
use crate::job::{duration, jobs, percent, rate, seconds_left, select};
use crate::progress::{Bar, Progress};
use crate::{CliError, Exit};

/// How often the server is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How long the server may be away: jobs go on after its restart.
const AWAY: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct JobWait {
    /// The jobs; without any, all that are not over
    #[arg(value_name = "ID")]
    ids: Vec<u64>,
}

impl JobWait {
    pub(super) fn run(mut self, context: &Context) -> Result<Exit, CliError> {
        let mut found = jobs(context)?;
        if self.ids.is_empty() {
            let active = found.iter().filter(|job| !job.state.is_over());
            self.ids = active.map(|job| job.id).collect();
        }
        let progress = Progress::new(context);
        let mut bars: HashMap<u64, Bar> = HashMap::new();
        let ended = loop {
            let waited = select(found, &self.ids)?;
            for job in &waited {
                let name = format!("job {}, {} of {}", job.id, job.kind, job.name);
                let bar = bars.entry(job.id).or_insert_with(|| progress.bar(name));
                bar.show(percent(job), &job.state.to_string(), &words(job));
                if job.state.is_over() {
                    bar.end();
                }
            }
            if waited.iter().all(|job| job.state.is_over()) {
                break waited;
            }
            sleep(EVERY);
            found = insist(context)?;
        };
        if !ended.is_empty() {
            progress.end();
        }
        context.print(&ended, |ended| ended.iter().map(line).collect())?;
        let all_done = ended.iter().all(|job| job.state == JobState::Done);
        Ok(if all_done { Exit::Done } else { Exit::Failed })
    }
}

/// Asks again and again while the server is away.
fn insist(context: &Context) -> Result<Vec<JobInfo>, CliError> {
    let since = Instant::now();
    loop {
        match jobs(context) {
            Err(error) if error.exit() == Exit::Unreachable && since.elapsed() < AWAY => {
                sleep(EVERY);
            }
            result => return result,
        }
    }
}

/// What is said behind the percentage.
fn words(job: &JobInfo) -> String {
    let mut parts = Vec::new();
    if let Some(total) = job.total {
        parts.push(format!("{} of {total}", job.done));
    }
    match (job.state, seconds_left(job)) {
        (JobState::Running, Some(left)) => {
            parts.push(rate(job.rate));
            parts.push(format!("{} left", duration(left)));
        }
        (state, _) => parts.push(state.to_string()),
    }
    parts.extend(job.reason.clone());
    parts.join(", ")
}

fn line(job: &JobInfo) -> String {
    let why = job.reason.as_ref().map(|reason| format!(": {reason}"));
    format!(
        "job {}, {} of {}: {}{}\n",
        job.id,
        job.kind,
        job.name,
        job.state,
        why.unwrap_or_default()
    )
}
