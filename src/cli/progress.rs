//! How far something has come: bars on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::context::Context;

/// Shows how far several things have come, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    look: Look,
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
        Progress { look }
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
        }
    }
}

impl Bar {
    /// It has come so far: percent where they are known, and a state, and what else there is to say.
    pub(crate) fn show(&mut self, percent: Option<u64>, state: &str, more: &str) {
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

    /// It will not change any more. The bar stays as it is now.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}
