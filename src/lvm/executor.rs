use std::ffi::CString;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Instant;

use bd_model::{LvName, VgName};

use crate::config::light;
use crate::ffi::{Handle, Message};
use crate::pv::{moves_line, parse_moves, parse_pv, pv_line};
use crate::report::{
    lvs_line, parse_pool, parse_thin_devices, parse_vg, pool_line, thin_devices_line, vg_of_line,
    vgs_line,
};
use crate::{
    Command, Done, Lvm, LvmConfig, LvmError, LvmErrorKind, LvmUuid, MoveReport, PoolReport, PvName,
    PvReport, ThinDevice, VgReport,
};

/// Level of messages that say why a command failed.
const ERROR: i32 = 3;

/// The way to LVM for the whole process; clones share it.
///
/// liblvm2cmd runs on one thread of its own. It ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Executor {
    jobs: Sender<Job>,
    settings: String,
}

struct Job {
    line: CString,
    answer: SyncSender<(i32, Vec<Message>)>,
}

/// Output of a command that succeeded.
struct Output {
    /// The lines of its report.
    report: String,
    /// What it said besides.
    messages: Vec<String>,
}

impl Executor {
    /// Starts the thread and opens the library on it.
    ///
    /// Should come early in a program's life: the library sets the locale and the environment
    /// variable `TZ` of the process when it starts. There can be one executor at a time.
    pub fn open(config: &LvmConfig) -> Result<Executor, LvmError> {
        const START: &str = "start liblvm2cmd";
        let settings = config.text().ok_or_else(|| {
            LvmError::failed(START, "added settings must not hold ' or line breaks")
        })?;
        let (jobs, queue) = channel();
        let (started, wait) = sync_channel(1);
        thread::Builder::new()
            .name("lvm".to_owned())
            .spawn(move || match Handle::open() {
                Ok(handle) => {
                    let _ = started.send(Ok(()));
                    serve(handle, &queue);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            })
            .map_err(|e| LvmError::failed(START, e))?;
        match wait.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(LvmError::failed(START, error)),
            Err(_) => return Err(LvmError::failed(START, "its thread has ended")),
        }
        let executor = Executor { jobs, settings };
        executor.run("lvm version", "version")?;
        Ok(executor)
    }

    fn run(&self, title: &str, line: &str) -> Result<Output, LvmError> {
        self.run_with("", title, line)
    }

    fn run_with(&self, more: &str, title: &str, line: &str) -> Result<Output, LvmError> {
        let full = format!("{line} --config '{}{more}'", self.settings);
        tracing::debug!(line, "lvm command");
        let begun = Instant::now();
        let line = CString::new(full).map_err(|e| LvmError::failed(title, e))?;
        let (answer, wait) = sync_channel(1);
        let ended = |_| LvmError::failed(title, "the LVM thread has ended");
        self.jobs
            .send(Job { line, answer })
            .map_err(|_| ended(()))?;
        let (status, messages) = wait.recv().map_err(|_| ended(()))?;
        tracing::debug!(
            title,
            status,
            ms = begun.elapsed().as_millis(),
            "lvm command ended"
        );
        sort_out(title, status, messages)
    }
}

fn serve(mut handle: Handle, queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        let _ = job.answer.send(handle.run(&job.line));
    }
}

fn sort_out(title: &str, status: i32, messages: Vec<Message>) -> Result<Output, LvmError> {
    let succeeded = u32::try_from(status) == Ok(lvm2_sys::LVM2_COMMAND_SUCCEEDED);
    let mut errors = Vec::new();
    let mut output = Output {
        report: String::new(),
        messages: Vec::new(),
    };
    for message in messages {
        if message.report {
            output.report.push_str(&message.text);
            output.report.push('\n');
        } else if message.level <= ERROR {
            errors.push(message.text.trim().to_owned());
        } else {
            output.messages.push(message.text.trim().to_owned());
        }
    }
    if !succeeded {
        return Err(LvmError::from_messages(title, &errors));
    }
    for error in &errors {
        tracing::warn!(title, error, "LVM succeeded with an error message");
    }
    Ok(output)
}

impl Lvm for Executor {
    fn report(&self, vg: &VgName) -> Result<VgReport, LvmError> {
        let title = format!("lvs {vg}");
        let output = self.run(&title, &lvs_line(vg))?;
        if let Some(report) = parse_vg(&title, &output.report)? {
            return Ok(report);
        }
        // A VG without LVs has no row.
        let title = format!("vgs {vg}");
        let output = self.run(&title, &vgs_line(vg))?;
        parse_vg(&title, &output.report)?.ok_or_else(|| LvmError {
            kind: LvmErrorKind::NotFound,
            operation: title,
            cause: "no such VG".to_owned(),
        })
    }

    fn name_of(&self, vg: &LvmUuid) -> Result<Option<VgName>, LvmError> {
        let title = format!("vgs {vg}");
        let output = self.run(&title, &vg_of_line(vg))?;
        Ok(parse_vg(&title, &output.report)?.map(|vg| vg.name))
    }

    fn pool(&self, vg: &VgName, pool: &LvName) -> Result<PoolReport, LvmError> {
        let title = format!("lvs {vg}/{pool}");
        let output = self.run(&title, &pool_line(vg, pool))?;
        parse_pool(&title, &output.report)
    }

    fn thin_devices(&self, vg: &VgName, pool: &LvName) -> Result<Vec<ThinDevice>, LvmError> {
        let title = format!("lvs {vg}");
        let output = self.run(&title, &thin_devices_line(vg))?;
        parse_thin_devices(&title, pool, &output.report)
    }

    fn pv(&self, pv: &PvName) -> Result<PvReport, LvmError> {
        let title = format!("pvs {pv}");
        let output = self.run(&title, &pv_line(pv))?;
        parse_pv(&title, &output.report)
    }

    fn moves(&self, vg: &VgName) -> Result<Vec<MoveReport>, LvmError> {
        let title = format!("lvs -a {vg}");
        let output = self.run(&title, &moves_line(vg))?;
        parse_moves(&title, &output.report)
    }

    fn change(&self, vg: &VgName, change: &Command) -> Result<Done, LvmError> {
        let more = match change.is_light() {
            true => light(),
            false => "",
        };
        let output = self.run_with(more, &change.title(vg), &change.line(vg))?;
        let done = change.tells_by_messages().is_none_or(|(text, all)| {
            let told = output.messages.iter().filter(|said| said.contains(text));
            told.count() >= all
        });
        Ok(if done { Done::Changed } else { Done::NotThere })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(level: i32, report: bool, text: &str) -> Message {
        Message {
            level,
            report,
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_status_decides() {
        let messages = || vec![message(3, false, "  Volume group \"x\" not found")];
        let error = sort_out("lvs x", 5, messages()).err().unwrap();
        assert_eq!(error.kind, LvmErrorKind::NotFound);
        assert_eq!(error.to_string(), "lvs x: Volume group \"x\" not found");
        assert!(sort_out("lvs x", 1, messages()).is_ok());
    }

    #[test]
    fn warnings_do_not_mix_with_reports() {
        let output = sort_out(
            "lvs x",
            1,
            vec![
                message(4, false, "WARNING: a disk is slow"),
                message(4, true, "{"),
                message(4, true, "}"),
            ],
        )
        .ok()
        .unwrap();
        assert_eq!(output.report, "{\n}\n");
        assert_eq!(output.messages, ["WARNING: a disk is slow"]);
    }

    #[test]
    fn the_library_answers_without_any_device() {
        let executor = Executor::open(&LvmConfig::new(false)).unwrap();
        let again = Executor::open(&LvmConfig::new(false)).err().unwrap();
        assert!(
            again.to_string().contains("in use by another thread"),
            "{again}"
        );
        drop(executor);
    }
}
