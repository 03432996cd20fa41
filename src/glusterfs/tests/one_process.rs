//! A translator in a real GlusterFS process: posix, the translator and a FUSE mount in one, from
//! a hand-written volfile. Needs root and /dev/fuse, but no glusterd and nothing installed but
//! GlusterFS: `type` in the volfile is a path from GlusterFS's folder to the shared object.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Mount {
    process: Child,
    dir: tempfile::TempDir,
}

impl Mount {
    /// Starts the process; `options` are lines for the translator's part of the volfile.
    fn start(options: &str) -> Mount {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        for name in ["brick", "mnt"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        fs::copy(probe(), path.join("probe.so")).unwrap();
        let volfile = format!(
            "volume posix\n type storage/posix\n option directory {}\nend-volume\n\
             volume probe\n type ../../../../../../..{}/probe\n{options} subvolumes posix\nend-volume\n",
            path.join("brick").display(),
            path.display(),
        );
        fs::write(path.join("volfile"), volfile).unwrap();
        let process = Command::new("glusterfs")
            .arg("-N")
            .arg("-f")
            .arg(path.join("volfile"))
            .arg("-l")
            .arg(path.join("log"))
            .args(["--entry-timeout=0", "--attribute-timeout=0"])
            .arg(path.join("mnt"))
            .stdin(Stdio::null())
            .spawn()
            .expect("glusterfs starts; install glusterfs-client");
        Mount { process, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("mnt").join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Waits until the file system is there.
    fn ready(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            let table = fs::read_to_string("/proc/self/mounts").unwrap();
            let here = self.dir.path().join("mnt");
            if table
                .lines()
                .any(|line| line.split(' ').nth(1).map(Path::new) == Some(&*here))
            {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "glusterfs ended; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no mount within 60 s; log:\n{}", self.log());
    }

    fn xattr(&self, file: &str, name: &str) -> String {
        let out = Command::new("getfattr")
            .args(["--only-values", "-n", name])
            .arg(self.path(file))
            .output()
            .expect("getfattr runs; install attr");
        assert!(out.status.success(), "{out:?}; log:\n{}", self.log());
        String::from_utf8(out.stdout).unwrap()
    }

    fn set_xattr(&self, file: &str, name: &str, value: &str) -> bool {
        let out = Command::new("setfattr")
            .args(["-n", name, "-v", value])
            .arg(self.path(file))
            .output()
            .expect("setfattr runs; install attr");
        out.status.success()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("-l")
            .arg(self.dir.path().join("mnt"))
            .output();
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("log of glusterfs:\n{}", self.log());
        }
    }
}

/// The translator of examples/probe.rs, which cargo builds before it runs these tests.
fn probe() -> PathBuf {
    let mut dir = std::env::current_exe().unwrap();
    dir.pop();
    dir.pop();
    let path = dir.join("examples/libprobe.so");
    assert!(
        path.exists(),
        "{} is missing; run cargo build --examples",
        path.display()
    );
    path
}

#[test]
fn fops_go_through_the_translator() {
    let mut mount = Mount::start("");
    mount.ready();

    // Passed through.
    fs::write(mount.path("hello"), "hello\n").unwrap();
    assert_eq!(fs::read_to_string(mount.path("hello")).unwrap(), "hello\n");
    fs::create_dir(mount.path("dir")).unwrap();
    fs::hard_link(mount.path("hello"), mount.path("dir/link")).unwrap();
    fs::rename(mount.path("dir/link"), mount.path("dir/other")).unwrap();
    std::os::unix::fs::symlink("dir/other", mount.path("symlink")).unwrap();
    assert_eq!(
        fs::read_to_string(mount.path("symlink")).unwrap(),
        "hello\n"
    );
    assert_eq!(
        fs::read_link(mount.path("symlink")).unwrap(),
        Path::new("dir/other")
    );
    fs::remove_file(mount.path("dir/other")).unwrap();
    fs::remove_dir(mount.path("dir")).unwrap();

    // Kept in memory, written and read on other threads, with patched attributes.
    let bytes: Vec<u8> = (0..3_000_017u32)
        .map(|n| n.to_le_bytes()[n as usize % 4])
        .collect();
    fs::write(mount.path("mem-1"), &bytes).unwrap();
    assert_eq!(
        fs::metadata(mount.path("mem-1")).unwrap().len(),
        bytes.len() as u64
    );
    assert!(fs::read(mount.path("mem-1")).unwrap() == bytes);
    let stub = mount.dir.path().join("brick/mem-1");
    assert_eq!(fs::metadata(stub).unwrap().len(), 0);

    // Hidden from readdirp, but there.
    fs::write(mount.path("hidden"), "x").unwrap();
    let mut names: Vec<_> = fs::read_dir(mount.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["hello", "mem-1", "symlink"]);

    // Answered by the translator itself, or after questions of its own.
    assert_eq!(mount.xattr("hello", "user.probe.who"), "0:0");
    assert_eq!(mount.xattr("hello", "user.probe.gfid").len(), 36);
    assert_eq!(mount.xattr("mem-1", "user.probe.hello"), "6");
    assert!(mount.set_xattr("hello", "user.twice", "ab"));
    assert_eq!(mount.xattr("hello", "user.twice"), "abab");
    assert!(!mount.set_xattr("hello", "user.refused", "x"));

    // A bug in a fop fails that fop, and nothing else.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(mount.path("hello"))
        .unwrap();
    assert_eq!(file.set_len(3).unwrap_err().raw_os_error(), Some(libc::EIO));
    fs::write(mount.path("keep"), "").unwrap();
    let error = fs::remove_file(mount.path("keep")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    assert_eq!(fs::read_to_string(mount.path("hello")).unwrap(), "hello\n");
    let log = mount.log();
    assert!(log.contains("panic in ftruncate"), "{log}");
    assert!(log.contains("was left without an answer"), "{log}");

    // What was remembered of a file is dropped with it.
    assert_eq!(
        mount.xattr("hello", "user.probe.counts"),
        "release=1 forget=0"
    );
    fs::remove_file(mount.path("mem-1")).unwrap();
    assert_eq!(
        mount.xattr("hello", "user.probe.counts"),
        "release=1 forget=1"
    );
}

#[test]
fn a_translator_that_refuses_to_start_stops_the_process() {
    let mut mount = Mount::start(" option refuse yes\n");
    // The mount may be seen for a moment before the graph is found wanting.
    assert!(!mount.process.wait().unwrap().success());
    let log = mount.log();
    assert!(log.contains("cannot start: refused as asked"), "{log}");
}
