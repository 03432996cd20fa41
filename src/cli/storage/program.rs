use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;

/// Why a program of the system did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there.
    #[error("cannot run {program}: {source}; install it")]
    Missing {
        /// Its name.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command} failed: {said}")]
    Failed {
        /// The command line.
        command: String,
        /// What it printed.
        said: String,
    },
    /// Its output has a form that is not known.
    #[error("cannot read what {program} printed: {source}")]
    Output {
        /// Its name.
        program: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Runs a program without input and answers its output.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<String, ProgramError> {
    run_with(program, &[], args)
}

/// As [`run`], with arguments before the others that no message shows.
fn run_with(program: &str, settings: &[&str], args: &[&str]) -> Result<String, ProgramError> {
    let output = Command::new(program)
        .args(settings)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        // Ctrl-C is for this process: a step that was begun comes to its end, and is then undone.
        .process_group(0)
        .output()
        .map_err(|source| ProgramError::Missing {
            program: program.to_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.trim().is_empty() {
        said = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    Err(ProgramError::Failed {
        command: format!("{program} {}", args.join(" ")),
        said: said.split_whitespace().collect::<Vec<_>>().join(" "),
    })
}

/// As [`run`], for output in JSON; none at all counts as `null`.
pub(crate) fn run_json<T: DeserializeOwned>(
    program: &str,
    args: &[&str],
) -> Result<T, ProgramError> {
    read_json(program, &run(program, args)?)
}

pub(crate) fn read_json<T: DeserializeOwned>(program: &str, text: &str) -> Result<T, ProgramError> {
    let text = match text.trim() {
        "" => "null",
        text => text,
    };
    serde_json::from_str(text).map_err(|source| ProgramError::Output {
        program: program.to_owned(),
        source,
    })
}

/// Runs a program of LVM.
pub(crate) fn lvm(program: &str, args: &[&str]) -> Result<String, ProgramError> {
    let config = lvm_config(Path::new("/run/udev/control").exists());
    run_with(program, &["--config", &config], args)
}

/// Reports of LVM: the rows of the one report asked for.
pub(crate) fn lvm_rows<T: DeserializeOwned>(
    program: &str,
    key: &str,
    args: &[&str],
) -> Result<Vec<T>, ProgramError> {
    let config = lvm_config(Path::new("/run/udev/control").exists());
    let settings = [
        "--config",
        config.as_str(),
        "--reportformat",
        "json",
        "--units",
        "b",
        "--nosuffix",
    ];
    let text = run_with(program, &settings, args)?;
    let report: serde_json::Value = read_json(program, &text)?;
    let rows = report["report"][0][key].clone();
    serde_json::from_value(rows).map_err(|source| ProgramError::Output {
        program: program.to_owned(),
        source,
    })
}

/// Settings as gluster-bdd's own: udev only where it runs, and what the environment adds.
fn lvm_config(udev: bool) -> String {
    let udev_bit = u8::from(udev);
    let mut text =
        format!("activation{{udev_sync={udev_bit} udev_rules={udev_bit}}} devices{{scan_lvs=0}}");
    if !udev {
        text.push_str(
            " devices/obtain_device_list_from_udev=0 devices/external_device_info_source=\"none\"",
        );
    }
    if let Ok(extra) = std::env::var("GLUSTER_BDD_LVM_CONFIG") {
        text.push(' ');
        text.push_str(&extra);
    }
    text
}
