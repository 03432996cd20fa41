use std::os::unix::process::ExitStatusExt;

use super::programs::Programs;
use super::said;

const SIGINT: i32 = 2;

/// A command, where Ctrl-C comes, what it says then, and what it has called from there on.
type Case = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const UNDONE: &str = "gluster-bd: interrupted; what was begun is undone\n";

#[test]
fn what_was_begun_on_the_host_is_undone() {
    let cases: [Case; 8] = [
        (
            "storage create vg1 DISK",
            "pvcreate",
            UNDONE,
            &["pvcreate", "vgremove", "pvremove"],
        ),
        (
            "storage create vg1 DISK",
            "vgcreate",
            UNDONE,
            &["vgcreate", "vgremove", "pvremove"],
        ),
        (
            "brick create vg0",
            "lvcreate",
            UNDONE,
            &["lvcreate", "lvremove"],
        ),
        (
            "brick create vg0",
            "mkfs.xfs",
            UNDONE,
            &["mkfs.xfs", "lvremove"],
        ),
        (
            "pool extend vg0/pool +4M --metadata +4M",
            "lvextend",
            "gluster-bd: interrupted; the metadata of the pool were extended, its data were not\n",
            &["lvextend"],
        ),
        ("pool extend vg0/pool +4M", "lvextend", "", &["lvextend"]),
        // A volume without its option would serve no images.
        (
            "volume create vms localhost:/a/b",
            "gluster --mode=script volume create",
            "",
            &["gluster", "gluster", "gluster"],
        ),
        (
            "volume create vms localhost:/vg0",
            "lvcreate",
            UNDONE,
            &["lvcreate", "lvremove"],
        ),
    ];
    for (line, at, message, calls) in cases {
        let programs = Programs::new();
        let disk = programs.disk().display().to_string();
        let line = line.replace("DISK", &disk);
        let words: Vec<&str> = line.split(' ').collect();
        let output = programs.interrupted(&words, at);
        assert_eq!(said(&output.stderr), message, "{line} at {at}");
        match message {
            "" => assert_eq!(output.status.code(), Some(0), "{line} at {at}"),
            _ => assert_eq!(output.status.signal(), Some(SIGINT), "{line} at {at}"),
        }
        let log = programs.log();
        let from = log.iter().position(|call| call.starts_with(at));
        let called = &log[from.expect(at)..];
        let names: Vec<&str> = called
            .iter()
            .filter_map(|call| call.split(' ').next())
            .collect();
        assert_eq!(names, calls, "{line} at {at}: {log:?}");
    }
}

#[test]
fn commands_of_one_step_end_at_once() {
    for line in ["volume set-virt vms", "volume create vms localhost:/vg0"] {
        let programs = Programs::new();
        let words: Vec<&str> = line.split(' ').collect();
        let output = programs.interrupted(&words, "gluster");
        assert_eq!(output.status.signal(), Some(SIGINT), "{line}");
        assert_eq!(programs.log().len(), 1, "{line}");
    }
}
