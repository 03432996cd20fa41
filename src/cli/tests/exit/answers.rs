use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use bd_proto::{Reply, VERSION, frame};
use tempfile::TempDir;

/// A server that greets its clients and gives all the same answer.
pub(crate) struct Answers {
    folder: TempDir,
}

impl Answers {
    pub(crate) fn new(answer: Reply) -> Answers {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("sock")).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &answer);
            }
        });
        Answers { folder }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }
}

fn serve(mut stream: UnixStream, answer: &Reply) {
    for reply in [&Reply::Hello(VERSION), answer] {
        let mut header = [0; frame::HEADER];
        if stream.read_exact(&mut header).is_err() {
            return;
        }
        let mut body = vec![0; frame::body_len(header, frame::MAX).unwrap()];
        stream.read_exact(&mut body).unwrap();
        stream.write_all(&frame::encode(reply).unwrap()).unwrap();
    }
}
