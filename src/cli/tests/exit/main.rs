//! gluster-bd as a process: its exit codes and its messages, against a server made of answers.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod interrupts;
#[cfg(test)]
mod programs;

use std::process::{Command, Output};

use answers::Answers;
use bd_model::Bytes;
use bd_proto::{Fault, FaultKind, Finding, FindingKind, JobInfo, JobKind, JobState, Reply};

#[cfg(test)]
fn gluster_bd(server: &Answers, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gluster-bd"))
        .arg("--socket")
        .arg(server.socket())
        .args(words)
        .output()
        .unwrap()
}

#[cfg(test)]
fn said(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    for (kind, code) in [
        (FaultKind::NotFound, 3),
        (FaultKind::InUse, 5),
        (FaultKind::Exists, 5),
        (FaultKind::Busy, 5),
        (FaultKind::Invalid, 1),
        (FaultKind::NoSpace, 1),
        (FaultKind::Failed, 1),
    ] {
        let fault = Fault::new(kind, "the brick is like that");
        let server = Answers::new(Reply::Fault(fault));
        let output = gluster_bd(&server, &["brick", "show", "/d"]);
        assert_eq!(output.status.code(), Some(code), "{kind:?}");
        assert_eq!(said(&output.stderr), "gluster-bd: the brick is like that\n");
    }
}

#[test]
fn a_check_exits_1_if_it_finds_something() {
    let server = Answers::new(Reply::Findings(Vec::new()));
    let output = gluster_bd(&server, &["check", "/d"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(said(&output.stdout), "/d: clean\n");
    let server = Answers::new(Reply::Findings(vec![Finding {
        kind: FindingKind::NoVolume,
        gfid: None,
        message: "a stub has no volume".into(),
        repaired: false,
    }]));
    let output = gluster_bd(&server, &["check", "/d"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output.stdout),
        "a stub has no volume\n/d: 1 finding\n"
    );
}

#[test]
fn no_server_and_bad_command_lines_are_told_apart() {
    let server = Answers::new(Reply::Done);
    let output = gluster_bd(&server, &["brick", "init", "/d"]);
    assert_eq!(output.status.code(), Some(2));
    // Answers that make no sense.
    let output = gluster_bd(&server, &["brick", "show", "/d"]);
    assert_eq!(output.status.code(), Some(1));
    let output = Command::new(env!("CARGO_BIN_EXE_gluster-bd"))
        .args(["--socket", "/nonexistent/sock", "brick", "show", "/d"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let message = said(&output.stderr);
    assert!(message.contains("/nonexistent/sock"), "{message}");
}

#[cfg(test)]
fn job(state: JobState) -> JobInfo {
    JobInfo {
        id: 3,
        kind: JobKind::Hydrate,
        state,
        vg: "vg0".parse().unwrap(),
        brick: "/d".into(),
        gfid: None,
        name: "/vg0/clone".into(),
        done: Bytes(30 << 20),
        total: Some(Bytes(40 << 20)),
        rate: Bytes(0),
        created: 1,
        started: Some(2),
        ended: None,
        reason: None,
    }
}

#[test]
fn waiting_for_jobs_tells_how_they_ended() {
    let done = "job 3, hydrate of /vg0/clone: done\n";
    let server = Answers::new(Reply::Jobs(vec![job(JobState::Done)]));
    let output = gluster_bd(&server, &["job", "wait", "3"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(said(&output.stdout), done);
    // No terminal: a line, and no bar.
    assert_eq!(
        said(&output.stderr),
        "job 3, hydrate of /vg0/clone: 75% 30 MiB of 40 MiB, done\n"
    );
    let output = gluster_bd(&server, &["job", "wait", "3", "--json"]);
    assert_eq!(said(&output.stderr), "");
    assert!(said(&output.stdout).contains("\"state\": \"done\""));
    let output = gluster_bd(&server, &["job", "wait", "4"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output.stderr).contains("there is no job 4"));
    let failed = JobInfo {
        reason: Some("the disk is broken".into()),
        ..job(JobState::Failed)
    };
    let server = Answers::new(Reply::Jobs(vec![failed, job(JobState::Done)]));
    let output = gluster_bd(&server, &["job", "wait", "3"]);
    assert_eq!(output.status.code(), Some(1));
    let output = gluster_bd(&server, &["job", "list"]);
    let text = said(&output.stdout);
    assert!(
        text.starts_with("ID  KIND     OF          STATE   DONE   TOTAL  RATE  LEFT\n"),
        "{text}"
    );
    assert!(text.ends_with("job 3: the disk is broken\n"), "{text}");
}
