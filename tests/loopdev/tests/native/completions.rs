//! What shells propose for the last word of a line.

use std::path::Path;

use anyhow::{Result, ensure};
use loopdev::{Rig, cmd};

/// Completes a line by the script's own function, as far as bash completes it.
const BASH: &str = r#"source <(gluster-bd completions bash)
    read -ra COMP_WORDS <<<"$1"
    COMP_LINE=$1 COMP_POINT=${#1} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMP_WORDBREAKS=$' \t\n:'
    _gluster_bd_names gluster-bd "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
    printf '%s\n' "${COMPREPLY[@]}""#;

/// Types a line and a tab into a zsh on a terminal, and tells what the line is then.
const ZSH: &str = r#"zmodload zsh/zpty
    gluster-bd completions zsh >$2/_gluster-bd
    zpty shell zsh -f -i
    zpty -w shell "PS1= fpath=($2 \$fpath); autoload -Uz compinit; compinit -u -D"
    zpty -w shell "tell() { print -r -- \$BUFFER >$2/told; BUFFER=; zle accept-line }"
    zpty -w shell "zle -N tell; bindkey '^X' tell; print READY"
    zpty -r shell said $'*READY\r\n*'
    zpty -n -w shell "$1"$'\t\x18'
    until [[ -s $2/told ]]; do sleep 0.05; done
    cat $2/told; rm $2/told
    zpty -d shell"#;

const FISH: &str = r"gluster-bd completions fish | source
    complete -C $argv[1]";

fn bash(line: &str) -> Result<Vec<String>> {
    said("bash", &["-c", BASH, "bash", line])
}

fn zsh(line: &str, folder: &Path) -> Result<Vec<String>> {
    let folder = folder.display().to_string();
    said(
        "timeout",
        &["60", "zsh", "-f", "-c", ZSH, "zsh", line, &folder],
    )
}

fn fish(line: &str) -> Result<Vec<String>> {
    let found = said("fish", &["-c", FISH, line])?;
    // What it is stands behind a tab.
    let name = |line: &String| line.split('\t').next().unwrap_or_default().to_owned();
    Ok(found.iter().map(name).collect())
}

fn said(program: &str, args: &[&str]) -> Result<Vec<String>> {
    let output = cmd(program, args)?.ok()?;
    Ok(output.lines().into_iter().map(str::to_owned).collect())
}

/// Names of volumes and images complete what is typed. There are images vm1 and backup.
pub(crate) fn work(rig: &Rig, volume: &str) -> Result<()> {
    let folder = rig.folder("zsh")?;
    let begun = &volume[..volume.len() - 1];
    let (image, path) = (format!("{volume}:"), format!("{volume}:/vg0/vm1"));
    let name = format!("{volume}:vm1");
    for (typed, whole, last) in [
        (format!("list {begun}"), volume, volume),
        (format!("info {begun}"), image.as_str(), image.as_str()),
        // Bash completes what follows the colon.
        (format!("info {volume}:/vg0/v"), path.as_str(), "/vg0/vm1"),
        (format!("resize {volume}:v"), name.as_str(), "vm1"),
        ("pool ext".to_owned(), "extend", "extend"),
    ] {
        let line = format!("gluster-bd {typed}");
        let found = bash(&line)?;
        ensure!(found == [last], "bash, {line}: {found:?}");
        let found = fish(&line)?;
        ensure!(found == [whole], "fish, {line}: {found:?}");
        let found = zsh(&line, &folder)?;
        let words = typed.rsplit_once(' ').map_or("", |(words, _)| words);
        let expected = format!("gluster-bd {words} {whole}");
        ensure!(found == [expected.as_str()], "zsh, {line}: {found:?}");
    }
    Ok(())
}
