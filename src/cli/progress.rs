//! How far something has come: bars on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::context::Context;

/// Shows how far several things have come, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    look: Look,
    since: Instant,
    patience: Duration,
}

#[derive(Debug)]
enum Look {
    /// A bar for each, drawn again and again.
    Bars(MultiProgress),
    /// A line when something changes.
    Lines,
    /// Nothing: a program reads the output.
    Quiet,
}

/// One of the things.
#[derive(Debug)]
pub(crate) struct Bar {
    name: String,
    bar: Option<ProgressBar>,
    /// The line said last.
    said: Option<Step>,
    lines: bool,
    from: Instant,
}

/// What makes a line worth saying.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    tenth: Option<u64>,
    state: String,
}

impl Progress {
    pub(crate) fn new(context: &Context) -> Progress {
        let look = match (std::io::stderr().is_terminal(), context.json) {
            (true, _) => Look::Bars(MultiProgress::with_draw_target(ProgressDrawTarget::stderr())),
            (false, false) => Look::Lines,
            (false, true) => Look::Quiet,
        };
        Progress {
            look,
            since: Instant::now(),
            patience: Duration::ZERO,
        }
    }

    /// As [`Progress::new`], for what is not worth showing unless it takes more than a second.
    pub(crate) fn of_something_long(context: &Context) -> Progress {
        Progress {
            patience: Duration::from_secs(1),
            ..Progress::new(context)
        }
    }

    /// All is over: what is printed next begins below the bars.
    pub(crate) fn end(&self) {
        if matches!(self.look, Look::Bars(_)) {
            let _ended = writeln!(std::io::stderr());
        }
    }

    /// A new bar below the others.
    pub(crate) fn bar(&self, name: String) -> Bar {
        let bar = match &self.look {
            Look::Bars(all) => {
                let bar = all.add(ProgressBar::new(100));
                // Both are constants that indicatif takes; without a style there is a plain bar.
                if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}") {
                    bar.set_style(style.progress_chars("#>-"));
                }
                bar.set_prefix(name.clone());
                Some(bar)
            }
            Look::Lines | Look::Quiet => None,
        };
        Bar {
            name,
            bar,
            said: None,
            lines: matches!(self.look, Look::Lines),
            from: self.since + self.patience,
        }
    }
}

impl Bar {
    /// It has come so far: percent where they are known, and a state, and what else there is to say.
    pub(crate) fn show(&mut self, percent: Option<u64>, state: &str, more: &str) {
        if Instant::now() < self.from {
            return;
        }
        let text = match percent {
            Some(percent) => format!("{percent:>3}% {more}"),
            None => more.to_owned(),
        };
        if let Some(bar) = &self.bar {
            bar.set_position(percent.unwrap_or(0));
            bar.set_message(text);
            return;
        }
        let step = Step {
            tenth: percent.map(|percent| percent / 10),
            state: state.to_owned(),
        };
        if self.lines && self.said.as_ref() != Some(&step) {
            self.said = Some(step);
            // Who does not read it does not want it.
            let _said = writeln!(std::io::stderr(), "{}: {}", self.name, text.trim());
        }
    }

    /// So many of some things are done.
    pub(crate) fn count(&mut self, done: usize, all: usize) {
        let percent = u64::try_from(done * 100 / all.max(1)).ok();
        self.show(percent, "", &format!("{done} of {all}"));
    }

    /// It will not change any more. The bar stays as it is now.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }

    /// It is over, and the bar goes.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
