//! A real gluster-bdd process with a brick. Needs root for trusted.* attributes.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use bd_model::{BrickId, Bytes, Gfid, ImageKind, xattr};
use bd_proto::{BrickInfo, BrickSpec, CallError, Client, EngineSpec, Reply, Request};
use rustix::fs::{XattrFlags, lsetxattr};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Folders of a server and a brick.
pub(crate) struct Bed {
    folder: TempDir,
    engine: EngineSpec,
}

impl Bed {
    /// Folders for a brick on an engine.
    pub(crate) fn new(folder: TempDir, engine: EngineSpec) -> Bed {
        for name in ["brick", "store"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Bed { folder, engine }
    }

    /// What its images are marked as.
    pub(crate) fn kind(&self) -> ImageKind {
        match self.engine {
            EngineSpec::Lvm { pool: None, .. } => ImageKind::Thick,
            EngineSpec::Lvm { .. } | EngineSpec::File { .. } => ImageKind::Thin,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn spec(&self) -> BrickSpec {
        BrickSpec {
            dir: self.path("brick"),
            engine: self.engine.clone(),
            top: None,
            adopt: true,
        }
    }

    pub(crate) fn init(&self) -> Request {
        Request::InitBrick(self.spec())
    }

    /// Takes over what a brick of GlusterFS 5 holds.
    pub(crate) fn take_over(&self) -> Request {
        Request::AdoptBrick {
            spec: self.spec(),
            really: true,
        }
    }

    pub(crate) fn attach(&self, fresh: bool) -> Request {
        Request::AttachBrick {
            dir: self.path("brick"),
            volume: uuid::Uuid::from_u128(1),
            fresh,
            heals: false,
        }
    }

    pub(crate) fn create(&self, brick: BrickId, gfid: Gfid, name: &str) -> Request {
        Request::Create {
            brick,
            gfid,
            name: Some(name.into()),
            kind: self.kind(),
            size: Bytes(1),
            import: false,
        }
    }

    pub(crate) fn check(&self) -> Request {
        Request::Check {
            dir: self.path("brick"),
            repair: false,
        }
    }

    pub(crate) fn command(&self, socket: &str, state: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gluster-bdd"));
        command
            .arg("--socket")
            .arg(self.path(socket))
            .arg("--state-dir")
            .arg(self.path(state))
            .env_remove("GLUSTER_BDD_FAILPOINT")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Server {
        Server::start(self.command("sock", "state"), &self.path("sock"))
    }

    /// A server that dies at a fail point.
    pub(crate) fn start_to_die_at(&self, point: &str) -> Server {
        let mut command = self.command("sock", "state");
        command.env("GLUSTER_BDD_FAILPOINT", point);
        Server::start(command, &self.path("sock"))
    }

    /// Makes a file with its handle, as the posix translator does.
    pub(crate) fn stub(&self, name: &str, gfid: Gfid) {
        let path = self.path("brick").join(name);
        File::create(&path).unwrap();
        lsetxattr(&path, "trusted.gfid", gfid.as_bytes(), XattrFlags::empty()).unwrap();
        let handle = self.handle(gfid);
        fs::create_dir_all(handle.parent().unwrap()).unwrap();
        fs::hard_link(&path, handle).unwrap();
    }

    /// Marks a file as an image of the brick's kind.
    pub(crate) fn mark(&self, name: &str) {
        self.mark_as(name, self.kind());
    }

    /// Marks a file as an image.
    pub(crate) fn mark_as(&self, name: &str, kind: ImageKind) {
        self.mark_with(name, &kind.to_string());
    }

    /// Gives a file a mark.
    pub(crate) fn mark_with(&self, name: &str, mark: &str) {
        let path = self.path("brick").join(name);
        lsetxattr(path, xattr::IMAGE, mark.as_bytes(), XattrFlags::empty()).unwrap();
    }

    /// Makes the stub of an image.
    pub(crate) fn image(&self, name: &str, gfid: Gfid) {
        self.stub(name, gfid);
        self.mark(name);
    }

    pub(crate) fn unlink(&self, name: &str, gfid: Gfid) {
        fs::remove_file(self.handle(gfid)).unwrap();
        fs::remove_file(self.path("brick").join(name)).unwrap();
    }

    pub(crate) fn handle(&self, gfid: Gfid) -> PathBuf {
        self.path("brick").join(gfid.handle())
    }
}

/// A running server; killed if the test does not stop it.
pub(crate) struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(mut command: Command, socket: &Path) -> Server {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = format!("gluster-bdd: ready on {}", socket.display());
        for line in lines.by_ref() {
            if line.unwrap() == ready {
                // What follows goes to the test's own output.
                std::thread::spawn(move || {
                    for line in lines.map_while(Result::ok) {
                        eprintln!("{line}");
                    }
                });
                return Server {
                    child,
                    socket: socket.to_owned(),
                };
            }
        }
        panic!("gluster-bdd did not start: {:?}", child.wait());
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket, "test").unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        assert!(self.wait().success());
    }

    /// The server must have died at its fail point.
    pub(crate) fn died(self) {
        assert_eq!(self.wait().signal(), Some(9));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait())
        {
            eprintln!("cannot end gluster-bdd: {error}");
        }
    }
}

/// The brick of an answer.
pub(crate) fn brick(reply: Result<Reply, CallError>) -> BrickInfo {
    match reply.unwrap() {
        Reply::Brick(info) => info,
        other => panic!("{other:?}"),
    }
}

/// The findings of a check.
pub(crate) fn findings(reply: Result<Reply, CallError>) -> Vec<bd_proto::Finding> {
    match reply.unwrap() {
        Reply::Findings(findings) => findings,
        other => panic!("{other:?}"),
    }
}
