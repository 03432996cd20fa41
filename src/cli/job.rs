//! Jobs of gluster-bdd, as commands show them.

use bd_model::Bytes;
use bd_proto::{JobInfo, JobKind, JobState, Reply, Request};

use crate::CliError;
use crate::context::Context;
use crate::server::{ask, out_of_turn};

/// All jobs, the oldest first.
pub(crate) fn jobs(context: &Context) -> Result<Vec<JobInfo>, CliError> {
    match ask(&context.socket, &Request::Jobs)? {
        Reply::Jobs(jobs) => Ok(jobs),
        other => Err(out_of_turn(&other)),
    }
}

/// Some of all jobs; each must exist.
pub(crate) fn select(jobs: Vec<JobInfo>, ids: &[u64]) -> Result<Vec<JobInfo>, CliError> {
    for id in ids {
        if !jobs.iter().any(|job| job.id == *id) {
            return Err(CliError::NotFound(format!(
                "there is no job {id}; see: gluster-bd job list"
            )));
        }
    }
    let mut jobs = jobs;
    jobs.retain(|job| ids.contains(&job.id));
    Ok(jobs)
}

/// Percent done, rounded down; none where that is not known.
pub(crate) fn percent(job: &JobInfo) -> Option<u64> {
    match job.total {
        Some(Bytes(0)) => (job.state == JobState::Done).then_some(100),
        Some(total) => Some(share(job.done.0, total.0)),
        None => None,
    }
}

fn share(done: u64, total: u64) -> u64 {
    let percent = u128::from(done) * 100 / u128::from(total.max(1));
    u64::try_from(percent.min(100)).unwrap_or(100)
}

/// Seconds that are left at the present rate.
pub(crate) fn seconds_left(job: &JobInfo) -> Option<u64> {
    let total = job.total.filter(|_| job.rate.0 > 0)?;
    Some(total.0.saturating_sub(job.done.0).div_ceil(job.rate.0))
}

/// Seconds as people say them, in two units at most.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// Bytes a second as people say them.
pub(crate) fn rate(bytes: Bytes) -> String {
    // Fractions of bytes say nothing.
    const MIB: u64 = 1 << 20;
    match bytes.0 {
        0..MIB => format!("{} KiB/s", bytes.0 >> 10),
        _ => format!("{} MiB/s", bytes.0 >> 20),
    }
}

/// One job, line by line.
pub(crate) fn describe(job: &JobInfo) -> String {
    let of = match job.kind {
        JobKind::Hydrate | JobKind::Zero => "image:",
        JobKind::Evacuate => "disk:",
    };
    let mut text = format!(
        "job:        {}\nkind:       {}\n{of:<12}{}\nstate:      {}\n",
        job.id, job.kind, job.name, job.state
    );
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<12}{value}\n"));
    if let Some(reason) = &job.reason {
        line("reason:", reason.clone());
    }
    if let Some(total) = job.total {
        let percent = percent(job).unwrap_or_default();
        line("done:", format!("{percent}%, {} of {total}", job.done));
    }
    if let Some(left) = seconds_left(job) {
        line("rate:", rate(job.rate));
        line("left:", duration(left));
    }
    if let (Some(started), Some(ended)) = (job.started, job.ended) {
        line("took:", duration(ended.saturating_sub(started)));
    }
    if let Some(gfid) = &job.gfid {
        line("gfid:", gfid.to_string());
    }
    line("vg:", job.vg.to_string());
    line("brick:", job.brick.display().to_string());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_for_people() {
        let said = [0, 59, 61, 3600, 90061].map(duration);
        assert_eq!(said, ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
        assert_eq!(rate(Bytes(5 << 20)), "5 MiB/s");
        assert_eq!(rate(Bytes(700 << 10)), "700 KiB/s");
        assert_eq!(share(u64::MAX, 1), 100);
    }
}
