//! Programs run to their end, with their output captured.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// What a program that ended has said.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// Exit code; 128 + n after signal n.
    pub code: i32,
    /// Standard output, trimmed at its end.
    pub stdout: String,
    /// Standard error, trimmed at its end.
    pub stderr: String,
}

impl Output {
    /// Fails, with everything the program said, unless it ended with 0.
    pub fn ok(self) -> Result<Self> {
        if self.code != 0 {
            bail!("{self}");
        }
        Ok(self)
    }

    /// Fails unless the program ended with another code than 0.
    pub fn fails(self) -> Result<Self> {
        if self.code == 0 {
            bail!("succeeded where a failure was expected: {self}");
        }
        Ok(self)
    }

    /// The lines of standard output without blanks around them; empty lines are left out.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` ended with {}", self.command, self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, "\n  {name}: {}", text.replace('\n', "\n          "))?;
            }
        }
        Ok(())
    }
}

/// For lines of bash: `no COMMAND` ends them unless the command fails.
const NO: &str = r#"no() { if "$@" 2>/dev/null; then echo "not refused: $*"; exit 1; fi; }
"#;

/// Runs a line of bash, with `set -euo pipefail`; fails unless it ends with 0. What must fail is written
/// `no COMMAND`.
pub fn sh(line: &str) -> Result<Output> {
    if let Some(nothing) = asserts_nothing(line) {
        bail!("bash goes on whatever comes of `{nothing}`; write `no` for `!` in {line}");
    }
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &format!("{NO}{line}")]);
    capture(command, line.to_owned())?.ok()
}

/// A command of a line that is negated, but for the last one, whose result is that of the line: `set -e`
/// looks at no others.
fn asserts_nothing(line: &str) -> Option<&str> {
    let mut commands: Vec<&str> = line.split([';', '\n']).map(str::trim).collect();
    commands.retain(|command| !command.is_empty());
    commands.pop();
    commands.into_iter().find(|command| {
        let word = ["do ", "then ", "else ", "{ "]
            .iter()
            .find_map(|word| command.strip_prefix(word));
        let command = word.unwrap_or(command).trim_start();
        command.starts_with("! ") && !command.contains("||") && !command.contains("&&")
    })
}

/// Runs a program and gives its output whatever its exit code: ask it with [`Output::ok`] or
/// [`Output::fails`].
pub fn cmd<S: AsRef<std::ffi::OsStr>>(program: &str, args: &[S]) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(args);
    let shown = std::iter::once(program.to_owned())
        .chain(
            args.iter()
                .map(|arg| arg.as_ref().to_string_lossy().into_owned()),
        )
        .collect::<Vec<_>>()
        .join(" ");
    capture(command, shown)
}

fn capture(mut command: Command, shown: String) -> Result<Output> {
    use std::os::unix::process::ExitStatusExt as _;
    let start = Instant::now();
    let output = command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if std::env::var_os("GBT_TRACE").is_some() {
        println!("measured: {:.2} s `{shown}`", start.elapsed().as_secs_f32());
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    Ok(Output {
        code: output
            .status
            .code()
            .unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default()),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        command: shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_line_tells_its_output() {
        let error = sh("echo out; echo err >&2; exit 3")
            .unwrap_err()
            .to_string();
        assert!(error.contains("ended with 3"), "{error}");
        assert!(
            error.contains("stdout: out") && error.contains("stderr: err"),
            "{error}"
        );
    }

    #[test]
    fn a_failure_inside_a_pipe_counts() {
        assert!(sh("false | true").is_err());
    }

    #[test]
    fn what_must_fail_does() {
        sh("no false; no test -e /nowhere").unwrap();
        let error = sh("no true; true").unwrap_err().to_string();
        assert!(error.contains("not refused: true"), "{error}");
        for line in [
            "! true; true",
            "for x in 1; do ! true; done",
            "true\n  ! true\ntrue",
        ] {
            let error = sh(line).unwrap_err().to_string();
            assert!(error.contains("`no` for `!`"), "{error}");
        }
        sh("! false || true; if ! false; then ! false; fi; ! false").unwrap_err();
        sh("! false || true; if ! false; then true; fi; ! false").unwrap();
    }

    #[test]
    fn a_signal_is_128_and_its_number() {
        assert_eq!(cmd("bash", &["-c", "kill -9 $$"]).unwrap().code, 137);
    }
}
