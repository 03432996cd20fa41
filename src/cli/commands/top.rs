use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use bd_model::Bytes;
use bd_proto::{ImageUsage, IoCounters, Reply, Request};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::context::Context;
use crate::interrupt::Interrupt;
use crate::server::{ask, out_of_turn};
use crate::table::table;
use crate::{CliError, Exit};

/// How often a wait looks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct Top {
    /// What to put first
    #[arg(long, value_enum, default_value_t = By::Io)]
    by: By,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    interval: u32,
    /// Show so many images; 0 shows all
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
    number: usize,
    /// Show one interval and end; so does --json
    #[arg(long)]
    once: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// Bytes read and written in a second
    Io,
    /// Bytes allocated in a second
    Growth,
}

/// An image over an interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Busy {
    /// The directory of its brick.
    pub(super) brick: String,
    /// Its LV (or file of the store).
    pub(super) lv: String,
    /// Reads in a second; none while it is not active, or where nobody counts.
    pub(super) reads: Option<f64>,
    /// Bytes read in a second.
    pub(super) read_bytes: Option<f64>,
    /// Writes in a second.
    pub(super) writes: Option<f64>,
    /// Bytes written in a second.
    pub(super) written_bytes: Option<f64>,
    /// Bytes that were allocated in a second, less those that were freed.
    pub(super) growth_bytes: Option<f64>,
    /// Bytes allocated to it, alone or shared.
    pub(super) allocated: Option<u64>,
}

impl Top {
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let interrupt = Interrupt::watch()?;
        let once = self.once || context.json;
        let screen = !once && std::io::stdout().is_terminal();
        let mut before = (Instant::now(), usage(context)?);
        loop {
            if !self.wait(&interrupt) {
                return Ok(Exit::Done);
            }
            let now = (Instant::now(), usage(context)?);
            let seconds = now.0.duration_since(before.0).as_secs_f64();
            let mut busy = compare(&before.1, &now.1, seconds);
            self.sort(&mut busy);
            if screen {
                // To the upper left corner, and everything behind it away.
                print(b"\x1b[H\x1b[2J")?;
            }
            context.print(&busy, |busy| show(busy))?;
            if once {
                return Ok(Exit::Done);
            }
            before = now;
        }
    }

    /// Waits for an interval; `false` if it was interrupted.
    fn wait(&self, interrupt: &Interrupt) -> bool {
        let until = Instant::now() + Duration::from_secs(u64::from(self.interval));
        loop {
            if interrupt.check().is_err() {
                return false;
            }
            match until.checked_duration_since(Instant::now()) {
                None => return true,
                Some(rest) => std::thread::sleep(rest.min(LOOK)),
            }
        }
    }

    fn sort(&self, busy: &mut Vec<Busy>) {
        let key = |image: &Busy| match self.by {
            By::Io => image.read_bytes.unwrap_or(0.0) + image.written_bytes.unwrap_or(0.0),
            By::Growth => image.growth_bytes.unwrap_or(0.0),
        };
        busy.sort_by(|a, b| {
            let most_first = key(b).total_cmp(&key(a));
            most_first.then_with(|| (&a.brick, &a.lv).cmp(&(&b.brick, &b.lv)))
        });
        if self.number > 0 {
            busy.truncate(self.number);
        }
    }
}

fn print(bytes: &[u8]) -> Result<(), CliError> {
    std::io::stdout().write_all(bytes)?;
    Ok(())
}

fn usage(context: &Context) -> Result<Vec<ImageUsage>, CliError> {
    match ask(&context.socket, &Request::Usage)? {
        Reply::Usage(usage) => Ok(usage),
        other => Err(out_of_turn(&other)),
    }
}

/// What each image did between two looks; one that was not there before has done nothing yet.
fn compare(before: &[ImageUsage], now: &[ImageUsage], seconds: f64) -> Vec<Busy> {
    let known: std::collections::HashMap<_, _> = before
        .iter()
        .map(|usage| ((&usage.brick, usage.gfid), usage))
        .collect();
    let each = now.iter().map(|usage| {
        let old = known.get(&(&usage.brick, usage.gfid)).copied();
        busy(old.unwrap_or(usage), usage, seconds)
    });
    each.collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate for people needs no more than 53 bits"
)]
fn busy(before: &ImageUsage, now: &ImageUsage, seconds: f64) -> Busy {
    // A device that was activated anew counts from zero.
    let since = |old: u64, new: u64| (if new >= old { new - old } else { new }) as f64 / seconds;
    let old = before.io.unwrap_or_default();
    let rate = |field: fn(&IoCounters) -> u64| now.io.map(|io| since(field(&old), field(&io)));
    let growth = before.allocated.zip(now.allocated);
    Busy {
        brick: now.brick.display().to_string(),
        lv: now.lv.to_string(),
        reads: rate(|io| io.reads),
        read_bytes: rate(|io| io.read.0),
        writes: rate(|io| io.writes),
        written_bytes: rate(|io| io.written.0),
        growth_bytes: growth.map(|(old, new)| (new.0 as f64 - old.0 as f64) / seconds),
        allocated: now.allocated.map(|bytes| bytes.0),
    }
}

fn show(busy: &[Busy]) -> String {
    let count =
        |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
    let rows: Vec<Vec<String>> = busy
        .iter()
        .map(|image| {
            vec![
                image.lv.clone(),
                count(image.reads),
                speed(image.read_bytes),
                count(image.writes),
                speed(image.written_bytes),
                speed(image.growth_bytes),
                image
                    .allocated
                    .map_or_else(|| "-".to_owned(), |bytes| Bytes(bytes).to_string()),
                image.brick.clone(),
            ]
        })
        .collect();
    let heading = [
        "IMAGE",
        "READS/S",
        "READ/S",
        "WRITES/S",
        "WRITTEN/S",
        "GROWTH/S",
        "ALLOCATED",
        "BRICK",
    ];
    table(&heading, &[1, 2, 3, 4, 5, 6], &rows)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the sign is told apart, and fractions of a byte do not count"
)]
fn speed(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate < 0.0 => format!("-{}", Bytes(-rate as u64)),
        Some(rate) => Bytes(rate as u64).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use bd_model::Gfid;

    use super::*;

    fn usage(number: u8, reads: u64, allocated: u64) -> ImageUsage {
        ImageUsage {
            brick: "/b".into(),
            gfid: Gfid::from_bytes([number; 16]),
            lv: format!("vm{number}").parse().unwrap(),
            allocated: Some(Bytes(allocated)),
            io: Some(IoCounters {
                reads,
                read: Bytes(reads * 4096),
                writes: 0,
                written: Bytes(0),
            }),
        }
    }

    #[test]
    fn rates_are_those_of_the_interval() {
        let before = [usage(1, 100, 5000), usage(2, 100, 5000), usage(3, 7, 0)];
        let mut now = [usage(1, 120, 4000), usage(2, 10, 9000), usage(4, 50, 50)];
        now[2].io = None;
        let busy = compare(&before, &now, 2.0);
        assert_eq!(busy[0].reads, Some(10.0));
        assert_eq!(busy[0].growth_bytes, Some(-500.0));
        assert_eq!(busy[1].reads, Some(5.0), "counted from zero");
        assert_eq!((busy[2].reads, busy[2].growth_bytes), (None, Some(0.0)));
        let mut sorted = busy.clone();
        let top = |by| Top {
            by,
            interval: 1,
            number: 2,
            once: true,
        };
        top(By::Growth).sort(&mut sorted);
        let names: Vec<&str> = sorted.iter().map(|image| image.lv.as_str()).collect();
        assert_eq!(names, ["vm2", "vm4"]);
        let text = show(&busy);
        assert!(text.contains("vm1") && text.contains("-500 B"), "{text}");
    }
}
