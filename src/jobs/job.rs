use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bd_dm_thin::{Inherited, Spans};
use bd_engine::clock::now;
use bd_model::{BrickId, Bytes};
use bd_proto::{JobInfo, JobKind, JobState};

use super::rate::Rate;
use super::record::Record;

/// A job, and what is known of it as long as the server runs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) record: Record,
    /// What is left to do, if it was read.
    pub(super) plan: Option<Plan>,
    /// Bytes from the beginning of the plan on that the brick works on.
    pub(super) given: Option<u64>,
    /// It must not go on before.
    pub(super) not_before: Option<Instant>,
    /// What was left when it was read the last time, and how often it was no less than before.
    pub(super) left: Option<(u64, u32)>,
    pub(super) rate: Rate,
    /// How many calls wait for its end.
    pub(super) waiting: u32,
    /// When it had its last turn, as a number that counts up.
    pub(super) turn: u64,
}

/// What is left to do of a job, in order.
#[derive(Debug)]
pub(super) struct Plan {
    spans: VecDeque<(u64, u64)>,
    /// Bytes of a chunk.
    pub(super) chunk: u64,
}

impl Job {
    pub(super) fn new(record: Record) -> Job {
        Job {
            record,
            plan: None,
            given: None,
            not_before: None,
            left: None,
            rate: Rate::default(),
            waiting: 0,
            turn: 0,
        }
    }

    /// Forgets what it was about to do; what is left is read again.
    pub(super) fn rest(&mut self) {
        self.plan = None;
        self.given = None;
        self.left = None;
        self.rate = Rate::default();
    }

    /// It goes on after `pause` at the earliest.
    pub(super) fn wait(&mut self, reason: String, pause: Duration) {
        if self.record.state != JobState::Paused {
            tracing::warn!(
                "job {}, {} of {}, waits: {reason}",
                self.record.id,
                self.record.kind,
                self.record.name
            );
        }
        self.rest();
        self.record.state = JobState::Paused;
        self.record.reason = Some(reason);
        self.not_before = Some(Instant::now() + pause);
    }

    /// Whether it could go on now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.record.state.is_over()
            && !self.record.held
            && self.not_before.is_none_or(|at| at <= now)
    }

    /// So many bytes of what was given are done.
    pub(super) fn advance(&mut self, bytes: u64) {
        if let Some(plan) = &mut self.plan {
            plan.advance(bytes);
            if plan.spans.is_empty() {
                self.plan = None;
            }
        }
        self.record.done = self.record.done.saturating_add(bytes);
        if let Some(total) = self.record.total {
            self.record.done = self.record.done.min(total);
        }
        self.rate.add(Instant::now(), bytes);
    }

    /// So many bytes are left to do; answers how many that is less than before, and whether the total
    /// is new.
    pub(super) fn left_are(&mut self, left: u64) -> (u64, bool) {
        let total = self.record.total.unwrap_or(left).max(left);
        let is_new = self.record.total != Some(total);
        let done = total - left;
        let piece = done.saturating_sub(self.record.done);
        self.rate.add(Instant::now(), piece);
        self.record.total = Some(total);
        self.record.done = done;
        (piece, is_new)
    }

    /// It goes on, unless somebody has paused it meanwhile.
    pub(super) fn run(&mut self) {
        if !self.record.held {
            self.record.state = JobState::Running;
            self.record.started.get_or_insert_with(now);
            self.record.reason = None;
        }
    }

    /// What is told of it. `is_ready` says whether who is to do it is there.
    pub(super) fn info(&self, is_ready: impl Fn(JobKind, BrickId) -> bool) -> JobInfo {
        let record = &self.record;
        let mut state = record.state;
        let mut reason = record.reason.clone();
        if !state.is_over() && !record.held && !is_ready(record.kind, record.brick) {
            state = JobState::Queued;
            reason = Some(format!(
                "brick {} is not running; start its volume",
                record.dir.display()
            ));
        }
        let rate = match state {
            JobState::Running => self.rate.at(Instant::now()),
            _ => 0,
        };
        JobInfo {
            id: record.id,
            kind: record.kind,
            state,
            vg: record.vg.clone(),
            brick: record.dir.clone(),
            gfid: record.gfid,
            name: record.name.clone(),
            done: Bytes(record.done),
            total: record.total.map(Bytes),
            rate: Bytes(rate),
            created: record.created,
            started: record.started,
            ended: record.ended,
            reason,
        }
    }
}

impl Plan {
    pub(super) fn new(inherited: &Inherited) -> Plan {
        let spans = inherited.spans.iter();
        Plan {
            spans: spans.map(|(start, end)| (start.0, end.0)).collect(),
            chunk: inherited.chunk.0.max(1),
        }
    }

    /// Bytes that are left in it.
    pub(super) fn bytes(&self) -> u64 {
        self.spans.iter().map(|(start, end)| end - start).sum()
    }

    /// The first part of it: at least a chunk, else at most so many bytes and spans.
    pub(super) fn first(&self, bytes: u64, spans: usize) -> Spans {
        let mut room = (bytes / self.chunk).max(1) * self.chunk;
        let mut first = Spans::new();
        for (start, end) in self.spans.iter().take(spans) {
            let end = (*end).min(start.saturating_add(room));
            first.push((Bytes(*start), Bytes(end)));
            room -= end - start;
            if room == 0 {
                break;
            }
        }
        first
    }

    fn advance(&mut self, mut bytes: u64) {
        while bytes > 0
            && let Some((start, end)) = self.spans.front_mut()
        {
            let step = bytes.min(*end - *start);
            *start += step;
            bytes -= step;
            if start == end {
                self.spans.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_done_piece_by_piece() {
        let mut plan = Plan::new(&Inherited {
            spans: vec![(Bytes(0), Bytes(30)), (Bytes(50), Bytes(60))],
            bytes: Bytes(40),
            chunk: Bytes(10),
            before: 1,
        });
        let first = |plan: &Plan, bytes, spans| -> Vec<(u64, u64)> {
            let told = plan.first(bytes, spans);
            told.iter().map(|(start, end)| (start.0, end.0)).collect()
        };
        assert_eq!(first(&plan, 1, 9), [(0, 10)], "at least a chunk");
        assert_eq!(first(&plan, 29, 9), [(0, 20)], "whole chunks");
        assert_eq!(first(&plan, 99, 9), [(0, 30), (50, 60)]);
        assert_eq!(first(&plan, 99, 1), [(0, 30)]);
        plan.advance(20);
        assert_eq!(plan.bytes(), 20);
        assert_eq!(first(&plan, 20, 9), [(20, 30), (50, 60)]);
        plan.advance(1000);
        assert_eq!((plan.bytes(), plan.spans.len()), (0, 0));
    }
}
