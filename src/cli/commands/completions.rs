use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Arguments;
use crate::{CliError, Exit};

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// What clap's scripts do not know: names that only a running system has.
const NAMES_BASH: &str = include_str!("names.bash");
const NAMES_ZSH: &str = include_str!("names.zsh");
const NAMES_FISH: &str = include_str!("names.fish");

impl Completions {
    pub(super) fn run(self) -> Result<Exit, CliError> {
        std::io::stdout().write_all(script(self.shell).as_bytes())?;
        Ok(Exit::Done)
    }
}

fn script(shell: Shell) -> String {
    let mut text = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(shell, &mut command, "gluster-bd", &mut text);
    let text = String::from_utf8_lossy(&text).into_owned();
    match shell {
        Shell::Bash => with_labels(&text) + NAMES_BASH,
        Shell::Zsh => with_names(&text),
        Shell::Fish => text + NAMES_FISH,
        _ => text,
    }
}

/// Lets clap's script for zsh ask for names where it would propose files for want of better, and
/// remember what was typed: behind a subcommand zsh hands on only the rest.
fn with_names(text: &str) -> String {
    let text = text.replace(":_default' \\", ":_gluster_bd_names' \\");
    let begin = "_gluster-bd() {\n";
    let typed = "    local -a _gluster_bd_typed=(\"${(@)words[1,CURRENT-1]}\")\n";
    text.replacen(begin, &format!("{NAMES_ZSH}{begin}{typed}"), 1)
}

/// Gives the branches of clap's script for bash the names by which it looks for them.
///
/// clap_complete 4.6 takes a hyphen of a command's name for the end of the name where it writes a
/// branch, and not where it looks for one, so that nothing behind `gluster-bd` is completed.
fn with_labels(text: &str) -> String {
    let sought = text.lines().filter_map(sought);
    let wrong = |name: &str| {
        let joined = name.replace("__subcmd__", "__").replace("__", "__subcmd__");
        (format!("{joined})"), format!("{name})"))
    };
    let labels: std::collections::HashMap<String, String> = sought.map(wrong).collect();
    let mut result = String::new();
    for line in text.lines() {
        let label = line.trim_start();
        let indent = &line[..line.len() - label.len()];
        let label = labels.get(label).map_or(label, String::as_str);
        result.extend([indent, label, "\n"]);
    }
    result
}

/// The branch that a line of clap's script makes it look for.
fn sought(line: &str) -> Option<&str> {
    line.trim()
        .strip_prefix("cmd=\"")?
        .strip_suffix('"')
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_for_zsh_and_fish_ask_for_names() {
        let zsh = script(Shell::Zsh);
        assert!(
            zsh.contains("typed=(\"${(@)words[1,CURRENT-1]}\")\n"),
            "{zsh}"
        );
        assert!(zsh.contains("The image:_gluster_bd_names' \\\n"));
        assert!(!zsh.contains(":_default'"));
        assert!(zsh.contains(":_files'"));
        assert!(script(Shell::Fish).ends_with(NAMES_FISH));
    }

    #[test]
    fn each_branch_of_the_script_for_bash_is_found() {
        let text = script(Shell::Bash);
        let sought: Vec<&str> = text.lines().filter_map(sought).collect();
        assert!(sought.len() > 30, "{}", sought.len());
        for name in sought {
            let label = format!("{name})");
            assert!(text.lines().any(|line| line.trim() == label), "{label}");
        }
    }
}
