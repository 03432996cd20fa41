use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};

use crate::frame::{self, FrameError, HEADER};
use crate::{Fault, Reply, Request, VERSION};

/// Why no connection to gluster-bdd could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens.
    #[error(
        "cannot reach gluster-bdd at {}: {source}; is it running? (systemctl status gluster-bdd)",
        path.display()
    )]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The greeting failed.
    #[error("gluster-bdd at {} does not take this client: {source}", path.display())]
    Greeting {
        /// The socket.
        path: PathBuf,
        /// What went wrong.
        source: CallError,
    },
}

/// Why a call was not answered with a result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server says it cannot be done.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The connection broke; whether the request was carried out is not known.
    #[error("lost gluster-bdd in the middle of a request: {0}")]
    Lost(#[from] io::Error),
    /// A message could not be read or written.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The answer does not belong to the request.
    #[error("gluster-bdd answered {0} out of turn; are client and server of one version?")]
    OutOfTurn(String),
    /// The answer came with a descriptor, which the kernel has closed: this process may have no more.
    #[error(
        "there is no descriptor left in this process for what gluster-bdd has opened; raise its limit (ulimit -n)"
    )]
    NoDescriptor,
}

/// A descriptor that came with an answer.
#[derive(Debug)]
enum Sent {
    Nothing,
    Descriptor(OwnedFd),
    /// The kernel could not give it to this process (unix(7), `MSG_CTRUNC`).
    Dropped,
}

/// A blocking connection to gluster-bdd; one request at a time.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the socket and exchanges versions.
    ///
    /// `name` tells the server's log who is calling.
    pub fn connect(path: &Path, name: &str) -> Result<Client, ConnectError> {
        let stream = UnixStream::connect(path).map_err(|source| ConnectError::Unreachable {
            path: path.to_owned(),
            source,
        })?;
        let mut client = Client { stream };
        let hello = Request::Hello {
            version: VERSION,
            client: name.to_owned(),
        };
        match client.call(&hello) {
            Ok(Reply::Hello(_)) => Ok(client),
            Ok(other) => Err(CallError::OutOfTurn(format!("{other:?}"))),
            Err(error) => Err(error),
        }
        .map_err(|source| ConnectError::Greeting {
            path: path.to_owned(),
            source,
        })
    }

    /// Asks and waits for the answer, however long LVM takes.
    pub fn call(&mut self, request: &Request) -> Result<Reply, CallError> {
        self.exchange(request).map(|(reply, _)| reply)
    }

    /// As [`Client::call`], for requests that are answered with a descriptor.
    pub fn call_for_fd(&mut self, request: &Request) -> Result<(Reply, OwnedFd), CallError> {
        match self.exchange(request)? {
            (reply, Sent::Descriptor(fd)) => Ok((reply, fd)),
            (_, Sent::Dropped) => Err(CallError::NoDescriptor),
            (reply, Sent::Nothing) => Err(CallError::OutOfTurn(format!(
                "{reply:?} without a descriptor"
            ))),
        }
    }

    fn exchange(&mut self, request: &Request) -> Result<(Reply, Sent), CallError> {
        self.stream.write_all(&frame::encode(request)?)?;
        let mut header = [0; HEADER];
        let sent = self.receive_header(&mut header)?;
        let mut body = vec![0; frame::body_len(header, frame::MAX)?];
        self.stream.read_exact(&mut body)?;
        match frame::decode(&body)? {
            Reply::Fault(fault) => Err(fault.into()),
            reply => Ok((reply, sent)),
        }
    }

    /// Reads the header; a descriptor arrives with its first byte.
    fn receive_header(&mut self, header: &mut [u8; HEADER]) -> io::Result<Sent> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut header[..])];
            match recvmsg(
                &self.stream,
                &mut parts,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result?,
            }
        };
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        self.stream.read_exact(&mut header[received.bytes..])?;
        Ok(match fd {
            Some(fd) => Sent::Descriptor(fd),
            None if received.flags.contains(ReturnFlags::CTRUNC) => Sent::Dropped,
            None => Sent::Nothing,
        })
    }
}
