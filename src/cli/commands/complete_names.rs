use std::io::Write;

use clap::{Arg, Args, Command, CommandFactory};

use super::Arguments;
use crate::context::Context;
use crate::image::Session;
use crate::job::jobs;
use crate::storage::{groups, pools, run};
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct CompleteNames {
    /// The words behind gluster-bd, the last of them unfinished
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// What a word of a command line names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Volume,
    Image,
    Group,
    Pool,
    Job,
}

impl CompleteNames {
    /// Prints each name that the last word can become. What cannot be asked has no names: a
    /// completion has nobody to tell an error to.
    pub(super) fn run(self, context: &Context) -> Result<Exit, CliError> {
        let Some((word, before)) = self.words.split_last() else {
            return Ok(Exit::Done);
        };
        let names = expected(before).map(|kind| names(context, kind, word));
        let mut out = std::io::stdout().lock();
        for name in names.into_iter().flatten() {
            if name.starts_with(word.as_str()) && is_plain(&name) {
                writeln!(out, "{name}")?;
            }
        }
        out.flush()?;
        Ok(Exit::Done)
    }
}

/// A shell could take other names apart.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "/:._+-@,=".contains(c);
    name.chars().all(plain)
}

fn names(context: &Context, kind: Kind, word: &str) -> Vec<String> {
    match kind {
        Kind::Group => groups().map(|all| all.into_iter().map(|group| group.vg).collect()),
        Kind::Pool => pools().map(|all| {
            let path = |pool: &crate::storage::Pool| format!("{}/{}", pool.vg, pool.pool);
            all.iter().map(path).collect()
        }),
        Kind::Volume => volumes(),
        Kind::Job => {
            let found = jobs(context).unwrap_or_default();
            return found.iter().map(|job| job.id.to_string()).collect();
        }
        Kind::Image => match word.split_once(':') {
            None => volumes().map(|all| all.into_iter().map(|name| format!("{name}:")).collect()),
            Some((volume, path)) => return images(context, volume, path).unwrap_or_default(),
        },
    }
    .unwrap_or_default()
}

fn volumes() -> Result<Vec<String>, crate::ProgramError> {
    let said = run("gluster", &["--mode=script", "volume", "list"])?;
    Ok(said.lines().map(str::to_owned).collect())
}

/// Images by their paths, or by their names where no path was begun.
fn images(context: &Context, volume: &str, path: &str) -> Result<Vec<String>, CliError> {
    let session = Session::open(context, volume)?;
    let images = session.images(None)?;
    Ok(images
        .into_iter()
        .map(|image| match image.path.rsplit_once('/') {
            Some((_, name)) if !path.starts_with('/') => format!("{volume}:{name}"),
            _ => format!("{volume}:{}", image.path),
        })
        .collect())
}

/// What the word after `before` names, by the grammar of the commands.
fn expected(before: &[String]) -> Option<Kind> {
    let mut root = Arguments::command();
    // Positions are counted only then.
    root.build();
    let mut command: &Command = &root;
    let mut position = 0;
    let mut option: Option<&Arg> = None;
    for word in before {
        if option.take().is_some() {
            continue;
        }
        if let Some(name) = word.strip_prefix("--") {
            let mut all = command.get_arguments().chain(root.get_arguments());
            option =
                all.find(|arg| arg.get_long() == Some(name) && arg.get_action().takes_values());
        } else if let Some(below) = command.find_subcommand(word).filter(|_| position == 0) {
            command = below;
        } else {
            position += 1;
        }
    }
    let arg = option.or_else(|| {
        let mut all = command.get_positionals();
        all.find(|arg| {
            let last = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
            arg.get_index() == Some(position + 1) || last
        })
    })?;
    match arg.get_value_names()?.first()?.as_str() {
        "VOL" | "VOL[:/DIR]" => Some(Kind::Volume),
        "VOL:/PATH" => Some(Kind::Image),
        "VG" => Some(Kind::Group),
        "VG/POOL" => Some(Kind::Pool),
        "ID" => Some(Kind::Job),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_says_what_a_word_names() {
        let expects = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            expected(&words)
        };
        for (line, kind) in [
            ("create", Some(Kind::Image)),
            ("create vms:a", None),
            ("--json clone", Some(Kind::Image)),
            ("clone vms:a", None),
            ("delete vms:a", Some(Kind::Image)),
            ("--remote-host host resize", Some(Kind::Image)),
            ("list", Some(Kind::Volume)),
            ("volume set-virt", Some(Kind::Volume)),
            ("pool status", Some(Kind::Group)),
            ("pool extend", Some(Kind::Pool)),
            ("pool extend vg0/pool", None),
            ("brick create", Some(Kind::Group)),
            ("brick init /d --vg", Some(Kind::Group)),
            ("brick init /d --pool", None),
            ("job show", Some(Kind::Job)),
            ("job cancel 1", Some(Kind::Job)),
            ("storage create", None),
            ("", None),
            ("nonsense", None),
        ] {
            assert_eq!(expects(line), kind, "{line}");
        }
    }

    #[test]
    fn names_that_a_shell_would_take_apart_are_left_out() {
        assert!(is_plain("vms:/vg0/vm-1.raw") && is_plain("vms:größe"));
        for name in ["a b", "$(reboot)", "a;b", "a\nb", "`x`", "a'b"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
